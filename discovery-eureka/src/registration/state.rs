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
    /// How often the registry no longer knew this pod (404). The pod is then registered again at once.
    pub lost: u64,
    /// How often the registry held another pod's record under this id.
    pub conflicts: u64,
    /// The error of the latest request, if it failed.
    pub error: Option<Error>,
    /// The registration has ended.
    pub ended: bool,
}

impl RegistrationState {
    /// Returns true if the registry holds the current record and no request is outstanding.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.registered && self.verified && !self.pending
    }
}
