//! Why there is no pick.

use crate::error::{Error, Kind};

/// Why a pick gave no endpoint. Small and `Copy`, because making it must not cost more than a pick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct PickError(#[from] Reason);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Reason {
    #[error("there is no usable endpoint")]
    Empty,
    #[error("every usable endpoint has been tried")]
    AllTried,
    #[error("the policy chose an endpoint that does not exist")]
    OutOfRange,
}

impl PickError {
    /// Every usable endpoint has been tried by this request.
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

    /// There is no usable endpoint: what to do about it is to wait for the next set.
    #[must_use]
    pub fn is_no_endpoints(&self) -> bool {
        self.0 == Reason::Empty
    }

    /// Every usable endpoint has been tried by this request.
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
