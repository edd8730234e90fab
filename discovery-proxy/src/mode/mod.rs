//! The modes: how each dataplane spreads connections, and what it remembers of a Service port.
//!
//! | mode | load balancing | affinity belongs to | limits of the real mode that are kept |
//! |---|---|---|---|
//! | [`Mode::Userspace`] | round robin over a shuffled list | the Service port | no SCTP, policies, source ranges or hints |
//! | [`Mode::Iptables`] | uniform | (port, endpoint) | [100 clients for each endpoint](IptablesConfig::with_recent_limit), no retry |
//! | [`Mode::Ipvs`] | a [scheduler](Scheduler) of the kernel | (address, port) | [`sh` and `dh` reject instead of choosing another](SourceHash) |
//! | [`Mode::Nftables`] | uniform | (port, endpoint) | no retry |

mod ipvs;
mod rules;
mod selection;
mod userspace;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crate::{Choice, Flow, ServicePortInfo, UsableEndpoints};
use discovery_core::policy::Rng;

pub use ipvs::{Connection, IpvsConfig, Maglev, Scheduler, SourceHash, UnknownScheduler};
pub(super) use ipvs::{Destinations, VirtualServers};
use rules::AffinityLists;
pub use rules::IptablesConfig;
pub(super) use rules::uniform;
pub use selection::{Kernel, KubeProxyFallback, ModeError, ModeSelection};
use userspace::BalancerState;
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
    Rules(Mutex<AffinityLists>),
    Ipvs(VirtualServers),
}

impl ModeState {
    pub(super) fn new(mode: &Mode, info: Option<&ServicePortInfo>) -> Self {
        Self(match mode {
            Mode::Userspace => Memory::Userspace(Mutex::new(BalancerState::new(info.and_then(|info| info.affinity)))),
            Mode::Iptables(config) => Memory::Rules(Mutex::new(AffinityLists::for_iptables(*config))),
            Mode::Nftables => Memory::Rules(Mutex::new(AffinityLists::for_nftables())),
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
            Memory::Rules(lists) => {
                let chosen = lock(lists).choose(client, usable, now, || {
                    uniform(usable.len(), rng).and_then(|index| usable.get(index).copied())
                });
                chosen.map(|(addr, known)| (addr, choice(true, known))).ok_or(Choice::NoEndpoints)
            }
            Memory::Ipvs(servers) => servers.schedule(flow, now).map(|(addr, known)| (addr, choice(affinity, known))),
        }
    }

    /// Updates the timeout and the endpoints that iptables and nftables mode keep affinity lists for.
    pub(super) fn set_usable(&self, info: &ServicePortInfo, usable: &UsableEndpoints) {
        if let Memory::Rules(lists) = &self.0 {
            // Without affinity, the lists are empty and there is nothing to look up.
            let reachable = if info.affinity.is_some() { usable.all_reachable() } else { Vec::new() };
            lock(lists).update(info.affinity, &reachable);
        }
    }

    /// Sets whether the Service has session affinity, in userspace mode.
    pub(super) fn set_affinity(&self, affinity: bool) {
        if let Memory::Userspace(state) = &self.0 {
            lock(state).set_affinity(affinity);
        }
    }

    /// Sets the endpoints, in userspace mode.
    pub(super) fn set_endpoints(&self, endpoints: &[SocketAddr], now: Instant, rng: &mut dyn Rng) {
        if let Memory::Userspace(state) = &self.0 {
            lock(state).set_endpoints(endpoints, now, rng);
        }
    }

    /// The virtual servers, in IPVS mode.
    pub(super) const fn virtual_servers(&self) -> Option<&VirtualServers> {
        match &self.0 {
            Memory::Ipvs(servers) => Some(servers),
            Memory::Userspace(_) | Memory::Rules(_) => None,
        }
    }

    /// The endpoint of the next connect attempt, in userspace mode.
    fn next_endpoint(&self, client: IpAddr, reset: bool, now: Instant) -> Option<SocketAddr> {
        match &self.0 {
            Memory::Userspace(state) => lock(state).next(client, reset, now).map(|(addr, _)| addr),
            Memory::Rules(_) | Memory::Ipvs(_) => None,
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
