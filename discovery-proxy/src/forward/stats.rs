//! What a forwarder counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a [`Forwarder`](super::Forwarder) has done since it started, and what it carries now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// TCP connections that are being carried or dialed.
    pub connections: usize,
    /// UDP associations that exist.
    pub associations: usize,
    /// TCP connections accepted since the start.
    pub accepted: u64,
    /// Failures to accept, because descriptors or memory ran out.
    pub accept_errors: u64,
    /// Connections and datagrams that the rules rejected.
    pub refused: u64,
    /// Connections and datagrams that the rules dropped.
    pub dropped: u64,
    /// Connections whose endpoint could not be reached.
    pub unreachable: u64,
    /// UDP associations created since the start.
    pub associated: u64,
    /// UDP associations removed because a change made them stale.
    pub purged: u64,
    /// Connections that were reset because their source address has its share of the limit.
    pub limited: u64,
    /// UDP associations without a reply that gave way to others at a limit.
    pub evicted: u64,
    /// TCP connections that were reset because they carried nothing for too long.
    pub idle: u64,
    /// Datagrams lost: the association limit was reached, a socket's queue was full, or the endpoint did not listen.
    pub lost: u64,
}

/// An event that is counted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    Accepted,
    AcceptError,
    Refused,
    Dropped,
    Unreachable,
    Associated,
    Purged,
    Limited,
    Evicted,
    Idle,
    Lost,
}

/// The counters of a forwarder.
#[derive(Debug, Default)]
pub(super) struct Counters {
    accepted: AtomicU64,
    accept_errors: AtomicU64,
    refused: AtomicU64,
    dropped: AtomicU64,
    unreachable: AtomicU64,
    associated: AtomicU64,
    purged: AtomicU64,
    limited: AtomicU64,
    evicted: AtomicU64,
    idle: AtomicU64,
    lost: AtomicU64,
}

impl Counters {
    pub(super) fn add(&self, event: Event, n: u64) {
        let counter = match event {
            Event::Accepted => &self.accepted,
            Event::AcceptError => &self.accept_errors,
            Event::Refused => &self.refused,
            Event::Dropped => &self.dropped,
            Event::Unreachable => &self.unreachable,
            Event::Associated => &self.associated,
            Event::Purged => &self.purged,
            Event::Limited => &self.limited,
            Event::Evicted => &self.evicted,
            Event::Idle => &self.idle,
            Event::Lost => &self.lost,
        };
        counter.fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn stats(&self, connections: usize, associations: usize) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            connections,
            associations,
            accepted: get(&self.accepted),
            accept_errors: get(&self.accept_errors),
            refused: get(&self.refused),
            dropped: get(&self.dropped),
            unreachable: get(&self.unreachable),
            associated: get(&self.associated),
            purged: get(&self.purged),
            limited: get(&self.limited),
            evicted: get(&self.evicted),
            idle: get(&self.idle),
            lost: get(&self.lost),
        }
    }
}
