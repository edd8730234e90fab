//! What a mode remembers of one port of a Service, from one snapshot to the next.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::{Mode, iptables::uniform, ipvs::Servers, nftables, userspace::BalancerState};
use crate::{Flow, ServicePortInfo, UsableEndpoints, affinity::Recent, verdict::Choice};
use discovery_core::policy::Rng;

/// The mutable part of a port: readers of all snapshots share it, under short locks that only traffic to the same
/// port can meet. Ports without affinity take none in iptables and nftables mode.
#[derive(Debug)]
pub(crate) enum Cell {
    Userspace(Mutex<BalancerState>),
    Recent(Mutex<Recent>),
    Ipvs(Servers),
}

/// What a choice depends on.
pub(crate) struct Ask<'a> {
    pub(crate) flow: &'a Flow<'a>,
    pub(crate) affinity: bool,
    /// The endpoints that the flow may use, in order.
    pub(crate) usable: &'a [SocketAddr],
    pub(crate) now: Instant,
}

impl Cell {
    pub(crate) fn new(mode: &Mode, info: Option<&ServicePortInfo>) -> Self {
        match mode {
            Mode::Userspace => Self::Userspace(Mutex::new(BalancerState::new(info.and_then(|info| info.affinity)))),
            Mode::Iptables(config) => Self::Recent(Mutex::new(Recent::new(config.rule()))),
            Mode::Nftables => Self::Recent(Mutex::new(Recent::new(nftables::RULE))),
            Mode::Ipvs(config) => Self::Ipvs(Servers::new(config)),
        }
    }

    /// Chooses an endpoint; or says why there is none. Not asked where the choice depends on the endpoints alone.
    pub(crate) fn choose(&self, ask: &Ask<'_>, rng: &mut dyn Rng) -> Result<(SocketAddr, Choice), Choice> {
        match self {
            Self::Userspace(state) => {
                let next = lock(state).next(ask.flow.source.ip(), false, ask.now);
                next.map(|(addr, known)| (addr, choice(ask.affinity, known))).ok_or(Choice::NoEndpoints)
            }
            Self::Recent(recent) => {
                let landed = lock(recent).land(ask.flow.source.ip(), ask.usable, ask.now, || {
                    uniform(ask.usable.len(), rng).and_then(|place| ask.usable.get(place).copied())
                });
                landed.map(|(addr, known)| (addr, choice(true, known))).ok_or(Choice::NoEndpoints)
            }
            Self::Ipvs(servers) => servers.schedule(ask),
        }
    }

    /// The endpoint of the next attempt to dial, in userspace mode.
    pub(super) fn next_endpoint(&self, client: IpAddr, reset: bool, now: Instant) -> Option<SocketAddr> {
        match self {
            Self::Userspace(state) => lock(state).next(client, reset, now).map(|(addr, _)| addr),
            Self::Recent(_) | Self::Ipvs(_) => None,
        }
    }

    /// Takes over what a change has led to, in the modes that follow from the usable endpoints.
    pub(crate) fn follow(&self, info: &ServicePortInfo, usable: &UsableEndpoints) {
        if let Self::Recent(recent) = self {
            // Nothing to look up where nothing was ever noted.
            let reachable = if info.affinity.is_some() { usable.all_reachable() } else { Vec::new() };
            lock(recent).update(info.affinity, &reachable);
        }
    }

    /// Takes over what the Service says, in userspace mode.
    pub(crate) fn set_affinity(&self, affinity: bool) {
        if let Self::Userspace(state) = self {
            lock(state).set_affinity(affinity);
        }
    }

    /// Takes over the endpoints, in userspace mode.
    pub(crate) fn set_endpoints(&self, endpoints: &[SocketAddr], now: Instant, rng: &mut dyn Rng) {
        if let Self::Userspace(state) = self {
            lock(state).set_endpoints(endpoints, now, rng);
        }
    }

    pub(crate) const fn servers(&self) -> Option<&Servers> {
        match self {
            Self::Ipvs(servers) => Some(servers),
            Self::Userspace(_) | Self::Recent(_) => None,
        }
    }
}

const fn choice(affinity: bool, known: bool) -> Choice {
    match (affinity, known) {
        (_, true) => Choice::Remembered,
        (true, false) => Choice::Recorded,
        (false, false) => Choice::Balanced,
    }
}

/// A panic elsewhere leaves at worst a client forgotten.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
