//! What a change does to a virtual server, prepared before its readers have to wait for it.

use std::{mem, net::SocketAddr};

use super::{
    Scheduler,
    schedule::{Prepared, prepare},
};
use crate::order::{self, Differences};

/// The writer's side of a virtual server: what it wants, and the list of destinations for the schedulers that compute
/// something from all of them.
#[derive(Debug)]
pub(super) struct Plan {
    scheduler: Scheduler,
    /// The endpoints, in order.
    wanted: Vec<SocketAddr>,
    /// In list order. Empty for schedulers that prepare nothing.
    list: Vec<Target>,
}

/// A destination in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) addr: SocketAddr,
    pub(super) weight: u32,
}

/// What happens to one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It is added at the head, after its deletion if it is draining.
    Add(SocketAddr),
    /// It gets weight 0.
    Drain(SocketAddr),
    /// It is deleted.
    Delete(SocketAddr),
}

impl Plan {
    pub(super) const fn new(scheduler: Scheduler) -> Self {
        Self { scheduler, wanted: Vec::new(), list: Vec::new() }
    }

    /// Sets the endpoints that are wanted, and returns how they differ from the former.
    pub(super) fn want(&mut self, wanted: &[SocketAddr]) -> Differences {
        if self.wanted == wanted {
            return Differences::default();
        }
        let old = mem::replace(&mut self.wanted, wanted.to_vec());
        Differences::between(old, wanted.iter().copied())
    }

    /// Computes what the scheduler needs to know of the list after these steps.
    pub(super) fn prepare(&mut self, steps: &[Step]) -> Prepared {
        if !self.scheduler.reads_all() {
            return Prepared::Nothing;
        }
        let (mut added, mut drained, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        for step in steps {
            match *step {
                Step::Add(addr) => added.push(addr),
                Step::Drain(addr) => drained.push(addr),
                Step::Delete(addr) => gone.push(addr),
            }
        }
        let sorted = |list: Vec<SocketAddr>| order::sort(list, |addr| *addr);
        let (back, drained, gone) = (sorted(added.clone()), sorted(drained), sorted(gone));
        let has = |list: &[SocketAddr], addr| !list.is_empty() && order::position(list, addr).is_some();
        let heads = added.into_iter().rev().map(|addr| Target { addr, weight: 1 });
        let stay = self.list.iter().filter(|target| !has(&back, target.addr) && !has(&gone, target.addr));
        let stay = stay.map(|target| match has(&drained, target.addr) {
            true => Target { weight: 0, ..*target },
            false => *target,
        });
        self.list = heads.chain(stay).collect();
        prepare(self.scheduler, &self.list)
    }

    /// Sets a weight in the list.
    #[cfg(test)]
    pub(super) fn set_weight(&mut self, addr: SocketAddr, weight: u32) -> Prepared {
        self.list.iter_mut().filter(|target| target.addr == addr).for_each(|target| target.weight = weight);
        prepare(self.scheduler, &self.list)
    }
}
