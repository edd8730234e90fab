//! The virtual servers of one Service port, and the connections that their schedulers count.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Instant,
};

use super::{
    Destinations, IpvsConfig, Scheduler,
    virtual_server::{ConnectionState, VirtualServer},
};
use crate::{
    Choice, Flow,
    mode::{ModeState, lock},
};

/// One virtual server for each address and port, each with its own state.
#[derive(Debug)]
pub(crate) struct VirtualServers {
    scheduler: Scheduler,
    /// A short list: the addresses of the Service, and the node's addresses for the node port.
    servers: Mutex<Vec<(SocketAddr, VirtualServer)>>,
}

impl VirtualServers {
    pub(crate) fn new(config: &IpvsConfig) -> Self {
        Self { scheduler: config.scheduler(), servers: Mutex::default() }
    }

    /// Replaces the virtual servers by the wanted ones; those that stay keep their state.
    pub(crate) fn sync(&self, wanted: &[(SocketAddr, Destinations<'_>)], now: Instant) {
        let mut servers = lock(&self.servers);
        servers.retain(|(addr, _)| wanted.iter().any(|(one, _)| one == addr));
        for (addr, destinations) in wanted {
            match servers.iter_mut().find(|(one, _)| one == addr) {
                Some((_, server)) => server.sync(*destinations, now),
                None => {
                    let mut server = VirtualServer::new(self.scheduler);
                    server.sync(*destinations, now);
                    servers.push((*addr, server));
                }
            }
        }
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
        lock(&self.servers).iter_mut().filter_map(|(_, server)| server.tick(now)).min()
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
    id: u64,
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
