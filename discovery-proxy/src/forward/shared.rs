//! What all tasks of a forwarder see.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::Semaphore;

use super::{SnapshotHandle, settings::Settings};

/// What all tasks of a forwarder see.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) published: SnapshotHandle,
    pub(super) settings: Settings,
    pub(super) stats: Counts,
    pub(super) connections: Arc<Semaphore>,
    pub(super) associations: Arc<Semaphore>,
}

/// What has happened so far.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) accepted: Count,
    pub(super) accept_errors: Count,
    pub(super) refused: Count,
    pub(super) dropped: Count,
    pub(super) unreachable: Count,
    pub(super) associated: Count,
    pub(super) purged: Count,
    pub(super) lost: Count,
}

#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self) {
        self.add_many(1);
    }

    pub(super) fn add_many(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a [`Forwarder`](super::Forwarder) has done so far, and what it is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// TCP connections that are being carried or dialled.
    pub connections: usize,
    /// UDP associations that are there.
    pub associations: usize,
    /// TCP connections accepted so far.
    pub accepted: u64,
    /// Times that accepting failed, for want of descriptors or memory.
    pub accept_errors: u64,
    /// Connections and datagrams that the rules refused.
    pub refused: u64,
    /// Connections and datagrams that the rules dropped.
    pub dropped: u64,
    /// Connections whose endpoint could not be reached.
    pub unreachable: u64,
    /// UDP associations made so far.
    pub associated: u64,
    /// UDP associations forgotten because a change made them stale.
    pub purged: u64,
    /// Datagrams lost: no room for another association, no room in a socket's queue, or nobody there.
    pub lost: u64,
}

impl Stats {
    pub(super) fn of(counts: &Counts, connections: usize, associations: usize) -> Self {
        Self {
            connections,
            associations,
            accepted: counts.accepted.get(),
            accept_errors: counts.accept_errors.get(),
            refused: counts.refused.get(),
            dropped: counts.dropped.get(),
            unreachable: counts.unreachable.get(),
            associated: counts.associated.get(),
            purged: counts.purged.get(),
            lost: counts.lost.get(),
        }
    }
}
