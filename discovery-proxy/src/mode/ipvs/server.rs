//! One virtual server: its destinations, scheduler and templates.
//!
//! Source: k/k pkg/proxy/ipvs/proxier.go (`syncEndpoint`), graceful_termination.go (`GracefulDeleteRS`,
//! `deleteRsFunc`); linux net/netfilter/ipvs/ip_vs_ctl.c (`__ip_vs_update_dest`).
//!
//! * A destination that is no longer an endpoint and has connections stays with weight 0, and is looked at every
//!   minute until they have ended. UDP and SCTP destinations go at once.
//! * One that comes back meanwhile is deleted and added again, at the head of the list, with weight 1. (Chosen:
//!   its connections still count, as those that the kernel finds in its trash.)

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use super::{
    Scheduler,
    persistence::Template,
    schedule::{Dest, State},
};
use crate::table::BuildMixer;

/// A virtual address and port of the kernel.
#[derive(Debug)]
pub(crate) struct VirtualServer {
    /// In list order.
    dests: Vec<Dest>,
    next_id: u64,
    scheduler: State,
    templates: HashMap<IpAddr, Template, BuildMixer>,
    timeout: Option<Duration>,
    /// When destinations that drain are looked at next.
    check_at: Option<Instant>,
}

/// What a virtual server should lead to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Destinations<'a> {
    /// In ascending order.
    pub(crate) wanted: &'a [SocketAddr],
    /// Whether those that leave may finish their connections.
    pub(crate) graceful: bool,
    /// Of session affinity.
    pub(crate) timeout: Option<Duration>,
}

impl VirtualServer {
    pub(crate) fn new(scheduler: Scheduler) -> Self {
        Self {
            dests: Vec::new(),
            next_id: 0,
            scheduler: State::new(scheduler),
            templates: HashMap::default(),
            timeout: None,
            check_at: None,
        }
    }

    /// Adds what is new, then lets go of what is gone.
    pub(crate) fn sync(&mut self, to: Destinations<'_>, now: Instant) {
        if to.timeout.is_none() {
            self.templates = HashMap::default();
        }
        self.timeout = to.timeout;
        let mut changed = false;
        for addr in to.wanted {
            match self.dests.iter().position(|dest| dest.addr == *addr) {
                None => {
                    let id = self.next_id;
                    self.next_id += 1;
                    self.dests.insert(0, Dest { id, addr: *addr, weight: 1, active: 0, inactive: 0 });
                    changed = true;
                }
                Some(at) if self.dests.get(at).is_some_and(|dest| dest.weight == 0) => {
                    let back = self.delete(at).map(|dest| Dest { weight: 1, ..dest });
                    self.dests.splice(0..0, back);
                    changed = true;
                }
                Some(_) => {}
            }
        }
        let leaves = |dest: &&Dest| !to.wanted.contains(&dest.addr) && dest.weight > 0;
        let gone: Vec<u64> = self.dests.iter().filter(leaves).map(|dest| dest.id).collect();
        changed |= !gone.is_empty();
        gone.into_iter().for_each(|id| self.release(id, to.graceful, now));
        if changed {
            self.scheduler.changed(&self.dests);
        }
    }

    /// Gives a destination another weight; kube-proxy itself only ever sets 1 and 0.
    #[cfg(test)]
    pub(crate) fn set_weight(&mut self, addr: SocketAddr, weight: u32) {
        self.dests.iter_mut().filter(|dest| dest.addr == addr).for_each(|dest| dest.weight = weight);
        self.scheduler.changed(&self.dests);
    }

    /// The destination of a new connection, and whether a template knew it; `None` refuses.
    pub(crate) fn schedule(
        &mut self,
        client: SocketAddr,
        virtual_ip: SocketAddr,
        now: Instant,
    ) -> Option<(SocketAddr, bool)> {
        let Some(timeout) = self.timeout else {
            let at = self.scheduler.schedule(&self.dests, client, virtual_ip)?;
            return self.dests.get(at).map(|dest| (dest.addr, false));
        };
        if let Some(template) = self.templates.get_mut(&client.ip()) {
            let available = |dest: &&Dest| dest.id == template.dest && dest.weight > 0;
            if let Some(dest) = self.dests.iter().find(available).filter(|_| template.is_alive(now)) {
                template.refresh(now, timeout);
                return Some((dest.addr, true));
            }
        }
        let at = self.scheduler.schedule(&self.dests, client, virtual_ip)?;
        let dest = self.dests.get(at)?;
        self.templates.insert(client.ip(), Template::new(dest.id, now, timeout));
        Some((dest.addr, false))
    }

    /// A connection is open; returns the destination's number.
    pub(crate) fn opened(&mut self, addr: SocketAddr, client: IpAddr) -> Option<u64> {
        let dest = self.dests.iter_mut().find(|dest| dest.addr == addr)?;
        dest.active += 1;
        let id = dest.id;
        if let Some(template) = self.template(client, id) {
            template.opened();
        }
        Some(id)
    }

    /// A connection is closing: it counts as inactive from here on.
    pub(crate) fn finishing(&mut self, id: u64) {
        if let Some(dest) = self.dests.iter_mut().find(|dest| dest.id == id) {
            dest.active = dest.active.saturating_sub(1);
            dest.inactive += 1;
        }
    }

    /// A connection has ended.
    pub(crate) fn closed(&mut self, id: u64, client: IpAddr, was: Was, now: Option<Instant>) {
        if let Some(dest) = self.dests.iter_mut().find(|dest| dest.id == id) {
            match was {
                Was::Active => dest.active = dest.active.saturating_sub(1),
                Was::Inactive => dest.inactive = dest.inactive.saturating_sub(1),
            }
        }
        if let Some(template) = self.template(client, id) {
            template.closed(now);
        }
    }

    /// Deletes what has drained, if it is time, and templates that are over. Returns when to come again.
    pub(crate) fn tick(&mut self, now: Instant) -> Option<Instant> {
        if self.check_at.is_some_and(|at| at <= now) {
            let drained = |dest: &Dest| dest.weight == 0 && dest.active + dest.inactive == 0;
            while let Some(at) = self.dests.iter().position(drained) {
                self.delete(at);
            }
            self.scheduler.changed(&self.dests);
            self.templates.retain(|_, template| template.is_alive(now));
            let draining = self.dests.iter().any(|dest| dest.weight == 0);
            self.check_at = draining.then_some(now + CHECK_EVERY);
        }
        self.check_at
    }

    pub(crate) fn dests(&self) -> &[Dest] {
        &self.dests
    }

    fn template(&mut self, client: IpAddr, dest: u64) -> Option<&mut Template> {
        self.templates.get_mut(&client).filter(|template| template.dest == dest)
    }

    fn release(&mut self, id: u64, graceful: bool, now: Instant) {
        let Some(at) = self.dests.iter().position(|dest| dest.id == id) else { return };
        match self.dests.get_mut(at) {
            Some(dest) if graceful && dest.active + dest.inactive > 0 => {
                dest.weight = 0;
                self.check_at.get_or_insert(now + CHECK_EVERY);
            }
            _ => drop(self.delete(at)),
        }
    }

    fn delete(&mut self, at: usize) -> Option<Dest> {
        let dest = (at < self.dests.len()).then(|| self.dests.remove(at))?;
        self.scheduler.removed(dest.id, at, &self.dests);
        Some(dest)
    }
}

/// What a connection counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Was {
    Active,
    Inactive,
}

/// `rsCheckDeleteInterval`.
const CHECK_EVERY: Duration = Duration::from_secs(60);
