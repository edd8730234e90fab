//! The schedulers without a hash table: `rr`, `wrr`, `lc`, `wlc`, `sed` and `nq`; and the dispatch to all of them.
//!
//! Source: linux net/netfilter/ipvs/ip_vs_rr.c, ip_vs_wrr.c, ip_vs_lc.c, ip_vs_wlc.c, ip_vs_sed.c, ip_vs_nq.c.
//! Among equals, the first destination in list order wins.

use std::{fmt, net::SocketAddr};

use super::{
    Scheduler,
    hashing::{HashTable, MaglevTable},
    list::{Destination, List},
    plan::Target,
};
use crate::mode::slots::Id;

/// A scheduling algorithm with its state.
pub(super) trait Algorithm: fmt::Debug + Send {
    /// The destination for a new connection; `None` rejects it.
    fn schedule(&mut self, list: &List, client: SocketAddr, virtual_addr: SocketAddr) -> Option<Id>;

    /// Handles a destination that is about to be removed from the list.
    fn removing(&mut self, _id: Id, _list: &List) {}

    /// Handles destinations that were added, were removed, or changed their weight.
    fn changed(&mut self, _prepared: Prepared) {}
}

/// What an algorithm needs to know of all destinations, computed before readers wait for the change.
#[derive(Debug)]
pub(super) enum Prepared {
    Nothing,
    Weights(Weights),
    Hash(HashTable),
    Maglev(MaglevTable),
}

/// The weights of all destinations.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weights {
    /// The greatest common divisor; 1 if there are none.
    divisor: u32,
    highest: u32,
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
        Scheduler::SourceHashing(config) => Box::new(HashTable::by_source(config, &[])),
        Scheduler::DestinationHashing => Box::new(HashTable::by_destination(&[])),
        Scheduler::Maglev(config) => Box::new(MaglevTable::new(config, &[])),
    }
}

/// Prepares a scheduler for a changed list of destinations.
pub(super) fn prepare(scheduler: Scheduler, list: &[Target]) -> Prepared {
    match scheduler {
        Scheduler::WeightedRoundRobin => Prepared::Weights(Weights {
            divisor: gcd_of_weights(list).unwrap_or(1),
            highest: list.iter().map(|target| target.weight).max().unwrap_or(0),
        }),
        Scheduler::SourceHashing(config) => Prepared::Hash(HashTable::by_source(config, list)),
        Scheduler::DestinationHashing => Prepared::Hash(HashTable::by_destination(list)),
        Scheduler::Maglev(config) => Prepared::Maglev(MaglevTable::new(config, list)),
        _ => Prepared::Nothing,
    }
}

/// `rr`: continues after the destination chosen last. Removing that destination steps back by one.
#[derive(Debug, Default)]
struct RoundRobin {
    /// The destination chosen last; `None` is the head of the list, before the first destination.
    last: Option<Id>,
}

impl Algorithm for RoundRobin {
    fn schedule(&mut self, list: &List, _: SocketAddr, _: SocketAddr) -> Option<Id> {
        let after = list.iter_from(self.last.and_then(|last| list.after(last)));
        let (id, _) = after.chain(list.iter()).find(|(_, dest)| dest.weight > 0)?;
        self.last = Some(id);
        Some(id)
    }

    fn removing(&mut self, id: Id, list: &List) {
        if self.last == Some(id) {
            self.last = list.before(id);
        }
    }
}

/// `wrr`: walks the list repeatedly and chooses destinations with at least the current weight. After each walk, the
/// current weight decreases from the highest weight by the greatest common divisor of all weights.
#[derive(Debug, Default)]
struct WeightedRoundRobin {
    /// The destination chosen last (`cl`); `None` is the head of the list.
    last: Option<Id>,
    /// The current weight (`cw`).
    current: i64,
    /// The weight that each round starts with (`mw`); 0 if no destination can be chosen.
    highest: i64,
    /// The decrease after each walk (`di`).
    step: i64,
}

impl Algorithm for WeightedRoundRobin {
    fn changed(&mut self, prepared: Prepared) {
        let Prepared::Weights(Weights { divisor, highest }) = prepared else { return };
        self.last = None;
        self.step = i64::from(divisor);
        // If all weights are 0, the kernel also ends up with 0, by a step of 1.
        self.highest = i64::from(highest) - (self.step - 1);
        if self.current > self.highest || self.current == 0 {
            self.current = self.highest;
        } else if self.step > 1 {
            self.current = self.current / self.step * self.step + 1;
        }
    }

    fn schedule(&mut self, list: &List, _: SocketAddr, _: SocketAddr) -> Option<Id> {
        if self.highest <= 0 {
            return None;
        }
        let heavy = |current: i64| move |(_, dest): &(Id, &Destination)| i64::from(dest.weight) >= current;
        let mut found = match self.last {
            Some(last) => list.iter_from(list.after(last)).find(heavy(self.current)),
            None => list.iter().find(heavy(self.current)),
        };
        // The destination with the highest weight is reached after at most `highest / step` walks.
        for _ in 0..=self.highest / self.step {
            if found.is_some() {
                break;
            }
            self.current -= self.step;
            if self.current <= 0 {
                self.current = self.highest;
            }
            found = list.iter().find(heavy(self.current));
        }
        self.last = found.map(|(id, _)| id);
        self.last
    }
}

/// The algorithms without state: they compare the destinations' connections.
#[derive(Debug)]
struct Least(fn(&List) -> Option<Id>);

impl Algorithm for Least {
    fn schedule(&mut self, list: &List, _: SocketAddr, _: SocketAddr) -> Option<Id> {
        (self.0)(list)
    }
}

/// `lc`: the smallest overhead.
fn least_connection(list: &List) -> Option<Id> {
    least(list, |dest| (overhead(dest), 1))
}

/// `wlc`: the smallest overhead divided by weight.
fn weighted_least_connection(list: &List) -> Option<Id> {
    least(list, |dest| (overhead(dest), u64::from(dest.weight)))
}

/// `sed`: the fewest active connections including the new one, divided by weight.
fn shortest_expected_delay(list: &List) -> Option<Id> {
    least(list, |dest| (u64::from(dest.active) + 1, u64::from(dest.weight)))
}

/// `nq`: the first destination without active connections; otherwise as `sed`.
fn never_queue(list: &List) -> Option<Id> {
    let idle = list.iter().find(|(_, dest)| dest.weight > 0 && dest.active == 0);
    idle.map(|(id, _)| id).or_else(|| shortest_expected_delay(list))
}

/// An active connection counts as much as 256 inactive ones.
fn overhead(dest: &Destination) -> u64 {
    u64::from(dest.active) * 256 + u64::from(dest.inactive)
}

/// The destination with the smallest fraction, compared without division.
fn least(list: &List, load: impl Fn(&Destination) -> (u64, u64)) -> Option<Id> {
    let mut candidates = list.iter().filter(|(_, dest)| dest.weight > 0);
    let better = |best: (Id, (u64, u64)), (id, dest): (Id, &Destination)| {
        let (best_load, best_weight) = best.1;
        let (this_load, this_weight) = load(dest);
        if best_load * this_weight > this_load * best_weight { (id, (this_load, this_weight)) } else { best }
    };
    let (first, dest) = candidates.next()?;
    Some(candidates.fold((first, load(dest)), better).0)
}

/// The greatest common divisor of all positive weights; `None` if there are none.
pub(super) fn gcd_of_weights(list: &[Target]) -> Option<u32> {
    let weights = list.iter().map(|target| target.weight).filter(|weight| *weight > 0);
    weights.reduce(|mut one, mut other| {
        while other != 0 {
            (one, other) = (other, one % other);
        }
        one
    })
}
