//! The virtual servers of one port of a Service.

use std::{net::SocketAddr, sync::Mutex, time::Instant};

use super::{IpvsConfig, Scheduler, VirtualServer, server::Destinations};
use crate::{
    mode::{Ask, cell::lock},
    verdict::Choice,
};

/// One virtual server for each address and port, each with a memory of its own.
#[derive(Debug)]
pub(crate) struct Servers {
    scheduler: Scheduler,
    /// Few: an address of the Service, or of the node for the node port.
    servers: Mutex<Vec<(SocketAddr, VirtualServer)>>,
}

impl Servers {
    pub(crate) fn new(config: &IpvsConfig) -> Self {
        Self { scheduler: config.scheduler(), servers: Mutex::default() }
    }

    /// Makes the virtual servers be these.
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

    pub(crate) fn schedule(&self, ask: &Ask<'_>) -> Result<(SocketAddr, Choice), Choice> {
        let to = ask.flow.destination;
        let scheduled = self.with(to, |server| match server.dests() {
            [] => Err(Choice::NoEndpoints),
            _ => server.schedule(ask.flow.source, to, ask.now).ok_or(Choice::NoDestination),
        });
        let (addr, known) = scheduled.unwrap_or(Err(Choice::NoEndpoints))?;
        let choice = match (ask.affinity, known) {
            (_, true) => Choice::Remembered,
            (true, false) => Choice::Recorded,
            (false, false) => Choice::Balanced,
        };
        Ok((addr, choice))
    }

    /// Looks after destinations that drain; returns when to come again.
    pub(crate) fn tick(&self, now: Instant) -> Option<Instant> {
        lock(&self.servers).iter_mut().filter_map(|(_, server)| server.tick(now)).min()
    }

    pub(super) fn with<T>(&self, addr: SocketAddr, run: impl FnOnce(&mut VirtualServer) -> T) -> Option<T> {
        lock(&self.servers).iter_mut().find(|(one, _)| *one == addr).map(|(_, server)| run(server))
    }
}
