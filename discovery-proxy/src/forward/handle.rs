//! A shared handle to the current snapshot.

use std::{fmt, sync::Arc};

use arc_swap::{ArcSwap, Guard};

use crate::{Changes, Snapshot};

/// A shared handle to the snapshot that decides new flows.
///
/// Clones share the snapshot: publish through one, decide through the others. Reading takes no lock. Flows that have
/// been decided keep their endpoint. To forget stale UDP flows as well, publish to the
/// [`Forwarder`](super::Forwarder::publish) instead.
#[derive(Clone)]
pub struct SnapshotHandle(Arc<ArcSwap<Snapshot>>);

impl SnapshotHandle {
    /// Creates a handle to a snapshot, such as [`Proxier::snapshot`](crate::Proxier::snapshot).
    #[must_use]
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        Self(Arc::new(ArcSwap::new(snapshot)))
    }

    /// Makes new flows use the snapshot of a sync.
    pub fn publish(&self, changes: &Changes) {
        self.store(changes.snapshot.clone());
    }

    /// Returns the current snapshot.
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
