//! The snapshot that flows are decided by, shared.

use std::{fmt, sync::Arc};

use arc_swap::{ArcSwap, Guard};

use crate::{Changes, Snapshot};

/// The snapshot that new flows are decided by. A clone is the same cell: publish at one end, decide at the others.
///
/// Reading takes no lock. Flows that have been decided stay where they are; a [`Forwarder`](super::Forwarder)
/// published to directly also forgets stale UDP flows, which a cell alone cannot.
#[derive(Clone)]
pub struct SnapshotHandle(Arc<ArcSwap<Snapshot>>);

impl SnapshotHandle {
    /// Begins with a snapshot, as [`Proxier::snapshot`](crate::Proxier::snapshot) has it.
    #[must_use]
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        Self(Arc::new(ArcSwap::new(snapshot)))
    }

    /// Lets new flows be decided by what a sync has led to.
    pub fn publish(&self, changes: &Changes) {
        self.store(changes.snapshot.clone());
    }

    /// The snapshot as it is now, to be kept.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    pub(super) fn store(&self, snapshot: Arc<Snapshot>) {
        self.0.store(snapshot);
    }

    pub(super) fn load(&self) -> Guard<Arc<Snapshot>> {
        self.0.load()
    }
}

impl fmt::Debug for SnapshotHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotHandle").field("version", &self.0.load().version()).finish()
    }
}
