//! The modes: how each dataplane spreads connections, and what it remembers of a Service port.
//!
//! | mode | load balancing | affinity belongs to | limits of the real mode that are kept |
//! |---|---|---|---|
//! | [`Mode::Userspace`] | round robin over a shuffled list | the Service port | no SCTP, policies, source ranges or hints |
//! | [`Mode::Iptables`] | uniform | (port, endpoint) | [100 clients for each endpoint](IptablesConfig::with_recent_limit), no retry |
//! | [`Mode::Ipvs`] | a [scheduler](Scheduler) of the kernel | (address, port) | [`sh` and `dh` reject instead of choosing another](SourceHash) |
//! | [`Mode::Nftables`] | uniform | (port, endpoint) | no retry |

mod clients;
mod ipvs;
mod rules;
mod selection;
mod slots;
mod userspace;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crate::{Choice, Flow, ServicePortInfo, order::Differences, program::PortState};
use discovery_core::policy::Rng;

pub use ipvs::{Connection, IpvsConfig, Maglev, Scheduler, SourceHash, UnknownScheduler};
pub(super) use ipvs::{Destinations, VirtualServers};
pub use rules::IptablesConfig;
pub(super) use rules::uniform;
use rules::{AffinityLists, Limits};
pub use selection::{Kernel, KubeProxyFallback, ModeError, ModeSelection};
use userspace::BalancerState;
pub(super) use userspace::Round;
pub use userspace::{DIAL_TIMEOUTS, DialAttempt, DialAttempts};

/// The dataplane whose load balancing and limits the proxy follows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// The proxy terminates connections itself. Removed in Kubernetes 1.26.
    Userspace,
    /// Rules of netfilter's older interface, iptables.
    Iptables(IptablesConfig),
    /// IPVS, the kernel's load balancer.
    Ipvs(IpvsConfig),
    /// Rules of netfilter's newer interface, nftables.
    Nftables,
}

/// What a mode remembers of one Service port from one snapshot to the next.
///
/// The readers of all snapshots share it, under short locks that only traffic to the same port contends for. In
/// iptables and nftables mode, ports without affinity take no lock.
#[derive(Debug)]
pub(super) struct ModeState(Memory);

#[derive(Debug)]
enum Memory {
    Userspace(Mutex<BalancerState>),
    /// The lists exist while the Service has session affinity.
    Rules(Limits, Mutex<Option<Box<AffinityLists>>>),
    Ipvs(VirtualServers),
}

impl ModeState {
    pub(super) fn new(mode: &Mode, info: Option<&ServicePortInfo>) -> Self {
        Self(match mode {
            Mode::Userspace => Memory::Userspace(Mutex::new(BalancerState::new(info.and_then(|info| info.affinity)))),
            Mode::Iptables(config) => Memory::Rules(Limits::of_iptables(*config), Mutex::default()),
            Mode::Nftables => Memory::Rules(Limits::of_nftables(), Mutex::default()),
            Mode::Ipvs(config) => Memory::Ipvs(VirtualServers::new(config)),
        })
    }

    /// Chooses one of the endpoints that the flow may use; the error is the reason why it cannot. Not called where the
    /// choice depends on the endpoints alone.
    pub(super) fn choose(
        &self,
        flow: &Flow<'_>,
        usable: &[SocketAddr],
        affinity: bool,
        now: Instant,
        rng: &mut dyn Rng,
    ) -> Result<(SocketAddr, Choice), Choice> {
        let client = flow.source.ip();
        match &self.0 {
            Memory::Userspace(state) => {
                let next = lock(state).next(client, false, now);
                next.map(|(addr, known)| (addr, choice(affinity, known))).ok_or(Choice::NoEndpoints)
            }
            Memory::Rules(_, lists) => {
                let mut draw = || uniform(usable.len(), rng).and_then(|index| usable.get(index).copied());
                let chosen = match lock(lists).as_mut() {
                    Some(lists) => lists.choose(client, usable, now, draw),
                    // This snapshot is older than the end of the Service's affinity.
                    None => draw().map(|addr| (addr, false)),
                };
                chosen.map(|(addr, known)| (addr, choice(true, known))).ok_or(Choice::NoEndpoints)
            }
            Memory::Ipvs(servers) => servers.schedule(flow, now).map(|(addr, known)| (addr, choice(affinity, known))),
        }
    }

    /// Updates the timeout and the endpoints that iptables and nftables mode keep affinity lists for. All that takes
    /// time for many endpoints happens before and after readers have to wait.
    pub(super) fn set_usable(&self, old: Option<&PortState>, new: &PortState) {
        let Memory::Rules(limits, lists) = &self.0 else { return };
        let reachable = |port: &PortState| port.info.affinity.map(|timeout| (timeout, port.usable.all_reachable()));
        let (before, after) = (old.and_then(reachable), reachable(new));
        let former = match (before, after) {
            (_, None) => lock(lists).take(),
            (Some((_, before)), Some((timeout, after))) => {
                let changes = Differences::between(before, after);
                if let Some(lists) = lock(lists).as_mut() {
                    lists.update(timeout, &changes);
                }
                None
            }
            (None, Some((timeout, after))) => {
                let mut new = Box::new(AffinityLists::new(*limits));
                new.update(timeout, &Differences { added: after, removed: Vec::new() });
                lock(lists).replace(new)
            }
        };
        drop(former);
    }

    /// Sets whether the Service has session affinity, in userspace mode.
    pub(super) fn set_affinity(&self, affinity: bool) {
        if let Memory::Userspace(state) = &self.0 {
            lock(state).set_affinity(affinity);
        }
    }

    /// Sets the endpoints, in userspace mode.
    pub(super) fn set_round(&self, round: Round) {
        if let Memory::Userspace(state) = &self.0 {
            let former = lock(state).set_round(round);
            drop(former);
        }
    }

    /// The virtual servers, in IPVS mode.
    pub(super) const fn virtual_servers(&self) -> Option<&VirtualServers> {
        match &self.0 {
            Memory::Ipvs(servers) => Some(servers),
            Memory::Userspace(_) | Memory::Rules(..) => None,
        }
    }

    /// The endpoint of the next connect attempt, in userspace mode.
    fn next_endpoint(&self, client: IpAddr, reset: bool, now: Instant) -> Option<SocketAddr> {
        match &self.0 {
            Memory::Userspace(state) => lock(state).next(client, reset, now).map(|(addr, _)| addr),
            Memory::Rules(..) | Memory::Ipvs(_) => None,
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

/// Locks a mutex even if a thread panicked while holding it: at worst, a client's affinity is lost.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
