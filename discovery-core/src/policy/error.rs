//! The error of a pick.

use crate::error::{Error, Kind};

/// Why a pick returned no endpoint. Small and `Copy`, because creating it must not cost more than a pick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct PickError(#[from] Reason);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Reason {
    #[error("no usable endpoint")]
    Empty,
    #[error("this request has already tried every usable endpoint")]
    AllTried,
    #[error("the policy chose an endpoint that does not exist: its `Picker` returned an index out of range")]
    OutOfRange,
}

impl PickError {
    /// The error for a request that has tried every usable endpoint.
    #[must_use]
    pub const fn all_tried() -> Self {
        Self(Reason::AllTried)
    }

    pub(super) const fn empty() -> Self {
        Self(Reason::Empty)
    }

    pub(super) const fn out_of_range() -> Self {
        Self(Reason::OutOfRange)
    }

    /// Whether the set has no usable endpoint. Waiting for the next set may help.
    #[must_use]
    pub fn is_no_endpoints(&self) -> bool {
        self.0 == Reason::Empty
    }

    /// Whether the request has tried every usable endpoint.
    #[must_use]
    pub fn is_all_tried(&self) -> bool {
        self.0 == Reason::AllTried
    }
}

impl From<PickError> for Error {
    fn from(error: PickError) -> Self {
        let kind = match error.0 {
            Reason::Empty => Kind::Empty,
            Reason::AllTried => Kind::AllTried,
            Reason::OutOfRange => Kind::Config,
        };
        Self::new(kind, error.to_string())
    }
}
