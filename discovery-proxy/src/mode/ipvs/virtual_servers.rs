//! The virtual servers of one Service port, and the connections that their schedulers count.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Instant,
};

use super::{
    Destinations, IpvsConfig, Scheduler,
    plan::Plan,
    virtual_server::{ConnectionState, VirtualServer},
};
use crate::{
    Choice, Flow,
    mode::{ModeState, lock, slots::Id},
};

/// One virtual server for each address and port, each with its own state.
#[derive(Debug)]
pub(crate) struct VirtualServers {
    scheduler: Scheduler,
    /// Short lists, in the same order: the addresses of the Service, and the node's addresses for the node port. Readers
    /// wait for `servers` only, which a change locks for as long as it takes to put what has been prepared in place.
    plans: Mutex<Vec<Plan>>,
    servers: Mutex<Vec<(SocketAddr, VirtualServer)>>,
}

impl VirtualServers {
    pub(crate) fn new(config: &IpvsConfig) -> Self {
        Self { scheduler: config.scheduler(), plans: Mutex::default(), servers: Mutex::default() }
    }

    /// Replaces the virtual servers by the wanted ones; those that stay keep their state.
    pub(crate) fn sync(&self, wanted: &[(SocketAddr, Destinations<'_>)], now: Instant) {
        let mut plans = lock(&self.plans);
        self.remove_unwanted(&mut plans, wanted);
        for (addr, destinations) in wanted {
            let at = lock(&self.servers).iter().position(|(one, _)| one == addr);
            match at.and_then(|at| plans.get_mut(at)) {
                Some(plan) => self.change(*addr, plan, *destinations, now),
                None => {
                    let mut plan = Plan::new(self.scheduler);
                    let mut server = VirtualServer::new(self.scheduler);
                    let steps = server.steps(plan.want(destinations.wanted), destinations.graceful);
                    drop(server.apply(&steps, plan.prepare(&steps), destinations.timeout, now));
                    plans.push(plan);
                    lock(&self.servers).push((*addr, server));
                }
            }
        }
    }

    fn remove_unwanted(&self, plans: &mut Vec<Plan>, wanted: &[(SocketAddr, Destinations<'_>)]) {
        let mut removed = Vec::new();
        let mut servers = lock(&self.servers);
        for at in (0..servers.len()).rev() {
            if servers.get(at).is_some_and(|(addr, _)| wanted.iter().all(|(one, _)| one != addr)) {
                removed.push((servers.remove(at), (at < plans.len()).then(|| plans.remove(at))));
            }
        }
        // The servers are freed once readers can go on.
        drop(servers);
        drop(removed);
    }

    /// Changes the destinations of a virtual server.
    fn change(&self, addr: SocketAddr, plan: &mut Plan, to: Destinations<'_>, now: Instant) {
        let changes = plan.want(to.wanted);
        let is_same = self.with(addr, |server| server.timeout() == to.timeout).unwrap_or(true);
        if changes.is_empty() && is_same {
            return;
        }
        let steps = self.with(addr, |server| server.steps(changes, to.graceful)).unwrap_or_default();
        let prepared = plan.prepare(&steps);
        drop(self.with(addr, |server| server.apply(&steps, prepared, to.timeout, now)));
    }

    /// The destination of a new connection, and whether session affinity chose it; the error is the reason why it is
    /// rejected.
    pub(crate) fn schedule(&self, flow: &Flow<'_>, now: Instant) -> Result<(SocketAddr, bool), Choice> {
        let scheduled = self.with(flow.destination, |server| match server.is_empty() {
            true => Err(Choice::NoEndpoints),
            false => server.schedule(flow.source, flow.destination, now).ok_or(Choice::NoDestination),
        });
        scheduled.unwrap_or(Err(Choice::NoEndpoints))
    }

    /// Deletes destinations that have drained; returns when to call again.
    pub(crate) fn tick(&self, now: Instant) -> Option<Instant> {
        let mut plans = lock(&self.plans);
        let addrs: Vec<SocketAddr> = lock(&self.servers).iter().map(|(addr, _)| *addr).collect();
        let mut next: Option<Instant> = None;
        for (addr, plan) in addrs.into_iter().zip(plans.iter_mut()) {
            let steps = self.with(addr, |server| server.drained(now)).unwrap_or_default();
            if !steps.is_empty() {
                let prepared = plan.prepare(&steps);
                drop(self.with(addr, |server| server.apply(&steps, prepared, server.timeout(), now)));
            }
            let at = self.with(addr, |server| server.check_at()).flatten();
            next = next.into_iter().chain(at).min();
        }
        next
    }

    fn with<T>(&self, addr: SocketAddr, run: impl FnOnce(&mut VirtualServer) -> T) -> Option<T> {
        lock(&self.servers).iter_mut().find(|(one, _)| *one == addr).map(|(_, server)| run(server))
    }
}

/// A connection through an IPVS virtual server. It counts as active until it is [finished](Self::finish) or ends.
///
/// Report its end with [`close`](Self::close). If it is dropped instead, the time of its end is unknown, and it does
/// not prolong session affinity.
pub struct Connection {
    state: Arc<ModeState>,
    server: SocketAddr,
    dest: SocketAddr,
    id: Id,
    client: SocketAddr,
    counted_as: ConnectionState,
    ended: Option<Instant>,
}

impl Connection {
    pub(crate) fn open(state: &Arc<ModeState>, flow: &Flow<'_>, dest: SocketAddr) -> Option<Self> {
        let (server, client) = (flow.destination, flow.source);
        let id = state.virtual_servers()?.with(server, |server| server.opened(dest, client.ip()))??;
        Some(Self { state: state.clone(), server, dest, id, client, counted_as: ConnectionState::Active, ended: None })
    }

    /// Returns the endpoint that the connection leads to.
    #[must_use]
    pub const fn endpoint(&self) -> SocketAddr {
        self.dest
    }

    /// Counts the connection as inactive from now on: one side has sent its last data (TCP: FIN seen, until the end of
    /// TIME_WAIT).
    pub fn finish(&mut self) {
        if self.counted_as == ConnectionState::Active {
            self.counted_as = ConnectionState::Inactive;
            if let Some(servers) = self.state.virtual_servers() {
                servers.with(self.server, |server| server.finishing(self.id));
            }
        }
    }

    /// Ends the connection.
    pub fn close(mut self, now: Instant) {
        self.ended = Some(now);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(servers) = self.state.virtual_servers() {
            let client = self.client.ip();
            servers.with(self.server, |server| server.closed(self.id, client, self.counted_as, self.ended));
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("client", &self.client).field("endpoint", &self.dest).finish_non_exhaustive()
    }
}
