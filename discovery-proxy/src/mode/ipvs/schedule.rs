//! What the schedulers have in common.

use std::net::SocketAddr;

use super::{
    Scheduler, hashing::HashTable, least, maglev::MaglevTable, round_robin::RoundRobin, round_robin::Weighted,
};

/// A destination as schedulers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dest {
    /// Which one it is; another one at the same address has another number.
    pub(crate) id: u64,
    pub(crate) addr: SocketAddr,
    pub(crate) weight: u32,
    /// Connections that are open.
    pub(crate) active: u32,
    /// Connections that are closing.
    pub(crate) inactive: u32,
}

/// The memory of a scheduler. Destinations come in list order.
#[derive(Debug)]
pub(super) enum State {
    RoundRobin(RoundRobin),
    Weighted(Weighted),
    Least(fn(&[Dest]) -> Option<usize>),
    SourceHash(HashTable),
    DestinationHash(HashTable),
    Maglev(MaglevTable),
}

impl State {
    pub(super) fn new(scheduler: Scheduler) -> Self {
        match scheduler {
            Scheduler::RoundRobin => Self::RoundRobin(RoundRobin::default()),
            Scheduler::WeightedRoundRobin => Self::Weighted(Weighted::default()),
            Scheduler::LeastConnection => Self::Least(least::connection),
            Scheduler::WeightedLeastConnection => Self::Least(least::weighted_connection),
            Scheduler::ShortestExpectedDelay => Self::Least(least::expected_delay),
            Scheduler::NeverQueue => Self::Least(least::never_queue),
            Scheduler::SourceHashing(config) => Self::SourceHash(HashTable::by_source(config)),
            Scheduler::DestinationHashing => Self::DestinationHash(HashTable::by_destination()),
            Scheduler::Maglev(config) => Self::Maglev(MaglevTable::new(config)),
        }
    }

    /// The destination of a new connection; `None` refuses it.
    pub(super) fn schedule(&mut self, dests: &[Dest], client: SocketAddr, virtual_ip: SocketAddr) -> Option<usize> {
        match self {
            Self::RoundRobin(state) => state.schedule(dests),
            Self::Weighted(state) => state.schedule(dests),
            Self::Least(least) => least(dests),
            Self::SourceHash(table) => table.schedule(dests, client),
            Self::DestinationHash(table) => table.schedule(dests, virtual_ip),
            Self::Maglev(table) => table.schedule(dests, client),
        }
    }

    /// A destination has left; `at` is where it was, and it is in `dests` no more.
    pub(super) fn removed(&mut self, id: u64, at: usize, dests: &[Dest]) {
        if let Self::RoundRobin(state) = self {
            state.removed(id, at, dests);
        }
    }

    /// Destinations have come, left, or changed their weight.
    pub(super) fn changed(&mut self, dests: &[Dest]) {
        match self {
            Self::RoundRobin(_) | Self::Least(_) => {}
            Self::Weighted(state) => state.changed(dests),
            Self::SourceHash(table) | Self::DestinationHash(table) => table.rebuild(dests),
            Self::Maglev(table) => table.rebuild(dests),
        }
    }
}

/// The greatest number that divides all positive weights; `None` without any.
pub(super) fn gcd_of_weights(dests: &[Dest]) -> Option<u32> {
    let weights = dests.iter().map(|dest| dest.weight).filter(|weight| *weight > 0);
    weights.reduce(|mut one, mut other| {
        while other != 0 {
            (one, other) = (other, one % other);
        }
        one
    })
}
