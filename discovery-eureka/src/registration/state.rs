//! The public state of a registration.

use crate::{Error, Status};

/// The state of a registration after its latest request.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RegistrationState {
    /// The status of this pod.
    pub status: Status,
    /// The registry accepted the record in its current form.
    pub registered: bool,
    /// The record was read back since then, and it leads to this pod.
    pub verified: bool,
    /// A request is outstanding: the record, an override, metadata, or reading the record back.
    pub pending: bool,
    /// The number of requests that completed or failed.
    pub requests: u64,
    /// How often the registry accepted the record, in its first form or a later one.
    pub registrations: u64,
    /// How often the registry no longer knew this pod (404). The pod is then registered again at once.
    pub lost: u64,
    /// How often the registry held another pod's record under this id.
    pub conflicts: u64,
    /// The status that the registry listed when the record was last read back, about every two minutes; `None` before
    /// that. It differs from `status` while an operator's override is set in the registry.
    pub listed: Option<Status>,
    /// The error of the latest request, if it failed.
    pub error: Option<Error>,
    /// The registration has ended.
    pub ended: bool,
    /// The registration has ended, and the registry no longer lists the pod. False if the deregistration failed, or if
    /// [`unregister_on_shutdown`](crate::RegistrationBuilder::unregister_on_shutdown) is off.
    pub deregistered: bool,
}

impl RegistrationState {
    /// Returns the status that the registry lists instead of this pod's own, such as an operator's OUT_OF_SERVICE.
    /// [`Registration::set_status`](crate::Registration::set_status) with UP removes it.
    #[must_use]
    pub fn overridden(&self) -> Option<Status> {
        let settled = self.listed.filter(|_| !self.pending);
        settled.filter(|listed| *listed != self.status && *listed != Status::Unknown)
    }

    /// Returns true if the registry holds the current record and no request is outstanding.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.registered && self.verified && !self.pending
    }
}
