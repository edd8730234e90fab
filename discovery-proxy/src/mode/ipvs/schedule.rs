//! The schedulers without a hash table: `rr`, `wrr`, `lc`, `wlc`, `sed` and `nq`; and the dispatch to all of them.
//!
//! Source: linux net/netfilter/ipvs/ip_vs_rr.c, ip_vs_wrr.c, ip_vs_lc.c, ip_vs_wlc.c, ip_vs_sed.c, ip_vs_nq.c.
//! Among equals, the first destination in list order wins.

use std::{fmt, net::SocketAddr};

use super::{
    Destination, Scheduler,
    hashing::{HashTable, MaglevTable},
};

/// A scheduling algorithm with its state. Destinations are passed in list order.
pub(super) trait Algorithm: fmt::Debug + Send {
    /// The index of the destination for a new connection; `None` rejects it.
    fn schedule(&mut self, dests: &[Destination], client: SocketAddr, virtual_addr: SocketAddr) -> Option<usize>;

    /// Handles the removal of a destination, which was at `index` before; `dests` are the remaining ones.
    fn removed(&mut self, _id: u64, _index: usize, _dests: &[Destination]) {}

    /// Handles destinations that were added, were removed, or changed their weight.
    fn changed(&mut self, _dests: &[Destination]) {}
}

/// Creates the algorithm of a scheduler.
pub(super) fn algorithm(scheduler: Scheduler) -> Box<dyn Algorithm> {
    match scheduler {
        Scheduler::RoundRobin => Box::new(RoundRobin::default()),
        Scheduler::WeightedRoundRobin => Box::new(WeightedRoundRobin::default()),
        Scheduler::LeastConnection => Box::new(Least(least_connection)),
        Scheduler::WeightedLeastConnection => Box::new(Least(weighted_least_connection)),
        Scheduler::ShortestExpectedDelay => Box::new(Least(shortest_expected_delay)),
        Scheduler::NeverQueue => Box::new(Least(never_queue)),
        Scheduler::SourceHashing(config) => Box::new(HashTable::by_source(config)),
        Scheduler::DestinationHashing => Box::new(HashTable::by_destination()),
        Scheduler::Maglev(config) => Box::new(MaglevTable::new(config)),
    }
}

/// `rr`: continues after the destination chosen last. Removing that destination steps back by one.
#[derive(Debug, Default)]
struct RoundRobin {
    /// The destination chosen last; `None` is the head of the list, before the first destination.
    last: Option<u64>,
}

impl Algorithm for RoundRobin {
    fn schedule(&mut self, dests: &[Destination], _: SocketAddr, _: SocketAddr) -> Option<usize> {
        let after = position(dests, self.last).map_or(0, |at| at + 1);
        let at = (after..dests.len()).chain(0..after).find(|at| dests.get(*at).is_some_and(|dest| dest.weight > 0))?;
        self.last = dests.get(at).map(|dest| dest.id);
        Some(at)
    }

    fn removed(&mut self, id: u64, index: usize, dests: &[Destination]) {
        if self.last == Some(id) {
            self.last = index.checked_sub(1).and_then(|before| dests.get(before)).map(|dest| dest.id);
        }
    }
}

/// `wrr`: walks the list repeatedly and chooses destinations with at least the current weight. After each walk, the
/// current weight decreases from the highest weight by the greatest common divisor of all weights.
#[derive(Debug, Default)]
struct WeightedRoundRobin {
    /// The destination chosen last (`cl`); `None` is the head of the list.
    last: Option<u64>,
    /// The current weight (`cw`).
    current: i64,
    /// The weight that each round starts with (`mw`); 0 if no destination can be chosen.
    highest: i64,
    /// The decrease after each walk (`di`).
    step: i64,
}

impl Algorithm for WeightedRoundRobin {
    fn changed(&mut self, dests: &[Destination]) {
        self.last = None;
        self.step = i64::from(gcd_of_weights(dests).unwrap_or(1));
        let highest = dests.iter().map(|dest| i64::from(dest.weight)).max().unwrap_or(0);
        // If all weights are 0, the kernel also ends up with 0, by a step of 1.
        self.highest = highest - (self.step - 1);
        if self.current > self.highest || self.current == 0 {
            self.current = self.highest;
        } else if self.step > 1 {
            self.current = self.current / self.step * self.step + 1;
        }
    }

    fn schedule(&mut self, dests: &[Destination], _: SocketAddr, _: SocketAddr) -> Option<usize> {
        if self.highest <= 0 {
            return None;
        }
        let mut from = position(dests, self.last).map_or(0, |at| at + 1);
        // The destination with the highest weight is reached after at most `highest / step` walks.
        loop {
            let heavy = |at: &usize| dests.get(*at).is_some_and(|dest| i64::from(dest.weight) >= self.current);
            if let Some(at) = (from..dests.len()).find(heavy) {
                self.last = dests.get(at).map(|dest| dest.id);
                return Some(at);
            }
            from = 0;
            self.current -= self.step;
            if self.current <= 0 {
                self.current = self.highest;
            }
        }
    }
}

fn position(dests: &[Destination], id: Option<u64>) -> Option<usize> {
    dests.iter().position(|dest| Some(dest.id) == id)
}

/// The algorithms without state: they compare the destinations' connections.
#[derive(Debug)]
struct Least(fn(&[Destination]) -> Option<usize>);

impl Algorithm for Least {
    fn schedule(&mut self, dests: &[Destination], _: SocketAddr, _: SocketAddr) -> Option<usize> {
        (self.0)(dests)
    }
}

/// `lc`: the smallest overhead.
fn least_connection(dests: &[Destination]) -> Option<usize> {
    least(dests, |dest| (overhead(dest), 1))
}

/// `wlc`: the smallest overhead divided by weight.
fn weighted_least_connection(dests: &[Destination]) -> Option<usize> {
    least(dests, |dest| (overhead(dest), u64::from(dest.weight)))
}

/// `sed`: the fewest active connections including the new one, divided by weight.
fn shortest_expected_delay(dests: &[Destination]) -> Option<usize> {
    least(dests, |dest| (u64::from(dest.active) + 1, u64::from(dest.weight)))
}

/// `nq`: the first destination without active connections; otherwise as `sed`.
fn never_queue(dests: &[Destination]) -> Option<usize> {
    let idle = dests.iter().position(|dest| dest.weight > 0 && dest.active == 0);
    idle.or_else(|| shortest_expected_delay(dests))
}

/// An active connection counts as much as 256 inactive ones.
fn overhead(dest: &Destination) -> u64 {
    u64::from(dest.active) * 256 + u64::from(dest.inactive)
}

/// The destination with the smallest fraction, compared without division.
fn least(dests: &[Destination], load: impl Fn(&Destination) -> (u64, u64)) -> Option<usize> {
    let mut candidates = dests.iter().enumerate().filter(|(_, dest)| dest.weight > 0);
    let better = |best: (usize, (u64, u64)), (at, dest): (usize, &Destination)| {
        let (best_load, best_weight) = best.1;
        let (this_load, this_weight) = load(dest);
        if best_load * this_weight > this_load * best_weight { (at, (this_load, this_weight)) } else { best }
    };
    let (first, dest) = candidates.next()?;
    Some(candidates.fold((first, load(dest)), better).0)
}

/// The greatest common divisor of all positive weights; `None` if there are none.
pub(super) fn gcd_of_weights(dests: &[Destination]) -> Option<u32> {
    let weights = dests.iter().map(|dest| dest.weight).filter(|weight| *weight > 0);
    weights.reduce(|mut one, mut other| {
        while other != 0 {
            (one, other) = (other, one % other);
        }
        one
    })
}
