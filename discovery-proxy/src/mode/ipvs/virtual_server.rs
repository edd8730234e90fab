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
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use super::{
    Scheduler,
    list::{Destination, List},
    plan::Step,
    schedule::{Algorithm, Prepared, algorithm},
};
use crate::{
    mode::{clients::Clients, slots::Id},
    order::Differences,
};

/// A virtual server: a virtual address and port in the kernel.
#[derive(Debug)]
pub(super) struct VirtualServer {
    list: List,
    algorithm: Box<dyn Algorithm>,
    templates: Clients<Template>,
    timeout: Option<Duration>,
    draining: Vec<SocketAddr>,
    /// When draining destinations are checked next.
    check_at: Option<Instant>,
}

impl VirtualServer {
    pub(super) fn new(scheduler: Scheduler) -> Self {
        Self {
            list: List::default(),
            algorithm: algorithm(scheduler),
            templates: Clients::default(),
            timeout: None,
            draining: Vec::new(),
            check_at: None,
        }
    }

    /// What adds new destinations, then removes or drains the unwanted ones.
    pub(super) fn steps(&self, changes: Differences, graceful: bool) -> Vec<Step> {
        let is_busy = |addr| {
            let found = self.list.find(addr).and_then(|id| self.list.get(id));
            graceful && found.is_some_and(|(_, dest)| dest.has_connections())
        };
        let leave = |addr| if is_busy(addr) { Step::Drain(addr) } else { Step::Delete(addr) };
        let removed = changes.removed.into_iter().map(leave);
        changes.added.into_iter().map(Step::Add).chain(removed).collect()
    }

    /// Takes these steps. Returns what is left of former templates, for the caller to free.
    pub(super) fn apply(
        &mut self,
        steps: &[Step],
        prepared: Prepared,
        timeout: Option<Duration>,
        now: Instant,
    ) -> impl Sized + use<> {
        for step in steps {
            match *step {
                Step::Add(addr) => {
                    let former = self.list.find(addr).and_then(|id| self.delete(id)).unwrap_or_default();
                    self.draining.retain(|one| *one != addr);
                    self.list.push_front(addr, Destination { weight: 1, ..former });
                }
                Step::Drain(addr) => {
                    if let Some(dest) = self.list.find(addr).and_then(|id| self.list.get_mut(id)) {
                        dest.weight = 0;
                    }
                    self.draining.push(addr);
                    self.check_at.get_or_insert(now + CHECK_EVERY);
                }
                Step::Delete(addr) => drop(self.list.find(addr).and_then(|id| self.delete(id))),
            }
        }
        if !steps.is_empty() {
            self.algorithm.changed(prepared);
        }
        self.timeout = timeout;
        match timeout {
            Some(_) => Clients::default(),
            None => std::mem::take(&mut self.templates),
        }
    }

    /// The destination of a new connection, and whether a template chose it; `None` rejects the connection.
    pub(super) fn schedule(
        &mut self,
        client: SocketAddr,
        virtual_addr: SocketAddr,
        now: Instant,
    ) -> Option<(SocketAddr, bool)> {
        let Self { list, algorithm, templates, .. } = self;
        let mut schedule = || {
            let id = algorithm.schedule(list, client, virtual_addr)?;
            list.get(id).map(|(addr, _)| (id, addr))
        };
        let Some(timeout) = self.timeout else {
            return schedule().map(|(_, addr)| (addr, false));
        };
        if let Some(template) = templates.get_mut(client.ip())
            && let Some((addr, _)) = list.get(template.dest).filter(|(_, dest)| dest.weight > 0)
            && template.is_alive(now)
        {
            template.refresh(now, timeout);
            return Some((addr, true));
        }
        let (id, addr) = schedule()?;
        let is_alive = |_, template: &mut Template| list.get(template.dest).is_some() && template.is_alive(now);
        templates.insert(client.ip(), Template::new(id, now, timeout), now, timeout, is_alive);
        Some((addr, false))
    }

    /// Counts a new connection as active; returns the id of its destination.
    pub(super) fn opened(&mut self, addr: SocketAddr, client: IpAddr) -> Option<Id> {
        let id = self.list.find(addr)?;
        self.list.get_mut(id)?.active += 1;
        if let Some(template) = self.template(client, id) {
            template.opened();
        }
        Some(id)
    }

    /// Counts an active connection as inactive from now on.
    pub(super) fn finishing(&mut self, id: Id) {
        if let Some(dest) = self.list.get_mut(id) {
            dest.active = dest.active.saturating_sub(1);
            dest.inactive += 1;
        }
    }

    /// Removes a connection from the counts.
    pub(super) fn closed(&mut self, id: Id, client: IpAddr, state: ConnectionState, now: Option<Instant>) {
        if let Some(dest) = self.list.get_mut(id) {
            match state {
                ConnectionState::Active => dest.active = dest.active.saturating_sub(1),
                ConnectionState::Inactive => dest.inactive = dest.inactive.saturating_sub(1),
            }
        }
        if let Some(template) = self.template(client, id) {
            template.closed(now);
        }
    }

    /// What deletes the drained destinations, if a check is due.
    pub(super) fn drained(&mut self, now: Instant) -> Vec<Step> {
        if self.check_at.is_none_or(|at| at > now) {
            return Vec::new();
        }
        let list = &self.list;
        let is_draining = |addr: &SocketAddr| {
            let found = list.find(*addr).and_then(|id| list.get(id));
            found.is_some_and(|(_, dest)| dest.has_connections())
        };
        let (draining, drained) = std::mem::take(&mut self.draining).into_iter().partition(is_draining);
        self.draining = draining;
        self.check_at = (!self.draining.is_empty()).then_some(now + CHECK_EVERY);
        let drained: Vec<_> = drained;
        drained.into_iter().map(Step::Delete).collect()
    }

    pub(super) const fn check_at(&self) -> Option<Instant> {
        self.check_at
    }

    pub(super) const fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Sets the weight of a destination. kube-proxy itself only sets 1 and 0.
    #[cfg(test)]
    pub(super) fn set_weight(&mut self, addr: SocketAddr, weight: u32, prepared: Prepared) {
        if let Some(dest) = self.list.find(addr).and_then(|id| self.list.get_mut(id)) {
            dest.weight = weight;
        }
        self.algorithm.changed(prepared);
    }

    /// The destinations in list order.
    #[cfg(test)]
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.list.iter().filter_map(|(id, _)| self.list.get(id)).map(|(addr, _)| addr).collect()
    }

    fn template(&mut self, client: IpAddr, dest: Id) -> Option<&mut Template> {
        self.templates.get_mut(client).filter(|template| template.dest == dest)
    }

    fn delete(&mut self, id: Id) -> Option<Destination> {
        self.algorithm.removing(id, &self.list);
        self.list.remove(id)
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
    dest: Id,
    expires: Instant,
    /// The number of open connections.
    controlled: u32,
    /// When the last connection ended, if none is open.
    ended: Option<Instant>,
}

/// How long a template with open connections is extended each time.
const EXTENSION: Duration = Duration::from_secs(60);

impl Template {
    fn new(dest: Id, now: Instant, timeout: Duration) -> Self {
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
