//! How a registration is.

use crate::{Error, Status};

/// How a registration is, as of its last request.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RegistrationState {
    /// The status that the registry is told.
    pub status: Status,
    /// The registry has taken the record in its present form.
    pub registered: bool,
    /// The registry's own record has been read back since, and leads to this pod.
    pub verified: bool,
    /// Something is still to be told: the record, an override, metadata, or reading it back.
    pub pending: bool,
    /// How many requests have been answered or have failed.
    pub requests: u64,
    /// How many times the registry did not know this pod any more (404), and was told at once.
    pub lost: u64,
    /// How many times the registry held another record under this pod's id.
    pub conflicts: u64,
    /// Why the last request failed, if it did.
    pub error: Option<Error>,
    /// The registration has ended.
    pub ended: bool,
}

impl RegistrationState {
    /// The registry holds this record as it is, and nothing is left to tell.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.registered && self.verified && !self.pending
    }
}
