//! One virtual server: its destinations, its scheduler, and its session affinity.
//!
//! Source: k/k pkg/proxy/ipvs/proxier.go (`syncEndpoint`), graceful_termination.go (`GracefulDeleteRS`,
//! `deleteRsFunc`); linux net/netfilter/ipvs/ip_vs_ctl.c (`__ip_vs_update_dest`).
//!
//! * A destination that is no longer an endpoint but has connections stays with weight 0, and is checked every minute
//!   until its connections have ended. UDP and SCTP destinations are deleted at once.
//! * A destination that returns while it drains is deleted and added again at the head of the list, with weight 1. (Our
//!   choice: its connections still count, like those that the kernel finds in its trash.)
//!
//! Session affinity keeps a template for each client of a virtual server. Source: linux net/netfilter/ipvs/ip_vs_core.c
//! (`ip_vs_sched_persist`), ip_vs_conn.c (`ip_vs_conn_expire`).
//!
//! * Every connection restarts the timeout of its template. A template that expires while one of its connections is open
//!   is extended by 60 s, so that with connections in TIME_WAIT a timeout of 5 s lasts two minutes (issue 89358).
//! * A template belongs to its virtual server: the other addresses of the same port do not share it.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use super::{
    Destination, Destinations, Scheduler,
    schedule::{Algorithm, algorithm},
};
use crate::table::BuildMixer;

/// A virtual server: a virtual address and port in the kernel.
#[derive(Debug)]
pub(super) struct VirtualServer {
    /// In list order.
    dests: Vec<Destination>,
    next_id: u64,
    algorithm: Box<dyn Algorithm>,
    templates: HashMap<IpAddr, Template, BuildMixer>,
    timeout: Option<Duration>,
    /// When draining destinations are checked next.
    check_at: Option<Instant>,
}

impl VirtualServer {
    pub(super) fn new(scheduler: Scheduler) -> Self {
        Self {
            dests: Vec::new(),
            next_id: 0,
            algorithm: algorithm(scheduler),
            templates: HashMap::default(),
            timeout: None,
            check_at: None,
        }
    }

    /// Adds new destinations, then removes or drains the unwanted ones.
    pub(super) fn sync(&mut self, to: Destinations<'_>, now: Instant) {
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
                    self.dests.insert(0, Destination { id, addr: *addr, weight: 1, active: 0, inactive: 0 });
                    changed = true;
                }
                Some(index) if self.dests.get(index).is_some_and(|dest| dest.weight == 0) => {
                    let back = self.delete(index).map(|dest| Destination { weight: 1, ..dest });
                    self.dests.splice(0..0, back);
                    changed = true;
                }
                Some(_) => {}
            }
        }
        let unwanted = |dest: &&Destination| !to.wanted.contains(&dest.addr) && dest.weight > 0;
        let removed: Vec<u64> = self.dests.iter().filter(unwanted).map(|dest| dest.id).collect();
        changed |= !removed.is_empty();
        removed.into_iter().for_each(|id| self.release(id, to.graceful, now));
        if changed {
            self.algorithm.changed(&self.dests);
        }
    }

    /// Sets the weight of a destination. kube-proxy itself only sets 1 and 0.
    #[cfg(test)]
    pub(super) fn set_weight(&mut self, addr: SocketAddr, weight: u32) {
        self.dests.iter_mut().filter(|dest| dest.addr == addr).for_each(|dest| dest.weight = weight);
        self.algorithm.changed(&self.dests);
    }

    /// The destination of a new connection, and whether a template chose it; `None` rejects the connection.
    pub(super) fn schedule(
        &mut self,
        client: SocketAddr,
        virtual_addr: SocketAddr,
        now: Instant,
    ) -> Option<(SocketAddr, bool)> {
        let Some(timeout) = self.timeout else {
            let at = self.algorithm.schedule(&self.dests, client, virtual_addr)?;
            return self.dests.get(at).map(|dest| (dest.addr, false));
        };
        if let Some(template) = self.templates.get_mut(&client.ip()) {
            let available = |dest: &&Destination| dest.id == template.dest && dest.weight > 0;
            if let Some(dest) = self.dests.iter().find(available).filter(|_| template.is_alive(now)) {
                template.refresh(now, timeout);
                return Some((dest.addr, true));
            }
        }
        let at = self.algorithm.schedule(&self.dests, client, virtual_addr)?;
        let dest = self.dests.get(at)?;
        self.templates.insert(client.ip(), Template::new(dest.id, now, timeout));
        Some((dest.addr, false))
    }

    /// Counts a new connection as active; returns the id of its destination.
    pub(super) fn opened(&mut self, addr: SocketAddr, client: IpAddr) -> Option<u64> {
        let dest = self.dests.iter_mut().find(|dest| dest.addr == addr)?;
        dest.active += 1;
        let id = dest.id;
        if let Some(template) = self.template(client, id) {
            template.opened();
        }
        Some(id)
    }

    /// Counts an active connection as inactive from now on.
    pub(super) fn finishing(&mut self, id: u64) {
        if let Some(dest) = self.dests.iter_mut().find(|dest| dest.id == id) {
            dest.active = dest.active.saturating_sub(1);
            dest.inactive += 1;
        }
    }

    /// Removes a connection from the counts.
    pub(super) fn closed(&mut self, id: u64, client: IpAddr, state: ConnectionState, now: Option<Instant>) {
        if let Some(dest) = self.dests.iter_mut().find(|dest| dest.id == id) {
            match state {
                ConnectionState::Active => dest.active = dest.active.saturating_sub(1),
                ConnectionState::Inactive => dest.inactive = dest.inactive.saturating_sub(1),
            }
        }
        if let Some(template) = self.template(client, id) {
            template.closed(now);
        }
    }

    /// Deletes drained destinations and expired templates if a check is due; returns when to call again.
    pub(super) fn tick(&mut self, now: Instant) -> Option<Instant> {
        if self.check_at.is_some_and(|at| at <= now) {
            let drained = |dest: &Destination| dest.weight == 0 && dest.active + dest.inactive == 0;
            while let Some(at) = self.dests.iter().position(drained) {
                self.delete(at);
            }
            self.algorithm.changed(&self.dests);
            self.templates.retain(|_, template| template.is_alive(now));
            let draining = self.dests.iter().any(|dest| dest.weight == 0);
            self.check_at = draining.then_some(now + CHECK_EVERY);
        }
        self.check_at
    }

    pub(super) fn is_empty(&self) -> bool {
        self.dests.is_empty()
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

    fn delete(&mut self, at: usize) -> Option<Destination> {
        let dest = (at < self.dests.len()).then(|| self.dests.remove(at))?;
        self.algorithm.removed(dest.id, at, &self.dests);
        Some(dest)
    }
}

/// How a connection is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionState {
    Active,
    Inactive,
}

/// The destination that session affinity remembers for a client.
#[derive(Clone, Copy, Debug)]
struct Template {
    /// The id of the destination.
    dest: u64,
    expires: Instant,
    /// The number of open connections.
    controlled: u32,
    /// When the last connection ended, if none is open.
    ended: Option<Instant>,
}

/// How long a template with open connections is extended each time.
const EXTENSION: Duration = Duration::from_secs(60);

impl Template {
    fn new(dest: u64, now: Instant, timeout: Duration) -> Self {
        Self { dest, expires: now + timeout, controlled: 0, ended: None }
    }

    /// Restarts the timeout for a new connection.
    fn refresh(&mut self, now: Instant, timeout: Duration) {
        self.expires = now + timeout;
    }

    fn opened(&mut self) {
        self.controlled += 1;
    }

    fn closed(&mut self, now: Option<Instant>) {
        self.controlled = self.controlled.saturating_sub(1);
        if self.controlled == 0 {
            self.ended = now;
        }
    }

    /// Returns whether the template is still valid; extends it each time it expires while a connection is open.
    fn is_alive(&mut self, now: Instant) -> bool {
        while self.expires <= now {
            let had_connection = self.controlled > 0 || self.ended.is_some_and(|ended| ended > self.expires);
            if !had_connection {
                return false;
            }
            self.expires += EXTENSION;
        }
        true
    }
}

/// `rsCheckDeleteInterval`.
const CHECK_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
