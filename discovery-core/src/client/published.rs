//! What readers see.

use std::{fmt, ops::Deref, sync::Arc};

use crate::{Error, endpoint::EndpointSet, policy::Snapshot, refresh::Freshness};

/// One published state: immutable, replaced as a whole.
#[derive(Debug)]
pub(super) struct Published {
    /// Counts publications: tells a newer one for less than loading it.
    pub(super) generation: u64,
    pub(super) snapshot: Snapshot,
    pub(super) standing: Freshness,
    /// Why there are no endpoints; `None` while there are some, or nothing is known yet.
    pub(super) error: Option<Error>,
}

/// A view of the endpoints as they are now. NameKind it takes no lock and allocates nothing; it stays as it
/// is while it is held, so don't hold it across an `.await` for long: take a new one.
pub struct Endpoints {
    pub(super) guard: arc_swap::Guard<Arc<Published>>,
}

impl Endpoints {
    /// The set, to be kept.
    #[must_use]
    pub fn to_arc(&self) -> Arc<EndpointSet> {
        self.guard.snapshot.set().clone()
    }

    /// Whether the sources could not be asked lately, so that these are the last known endpoints.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        matches!(self.guard.standing, Freshness::Stale { .. })
    }
}

impl Deref for Endpoints {
    type Target = EndpointSet;

    fn deref(&self) -> &EndpointSet {
        self.guard.snapshot.set()
    }
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
