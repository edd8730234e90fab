//! Userspace mode: the proxy terminates connections and dials the endpoints itself.
//!
//! Source: k/k pkg/proxy/userspace/roundrobin.go (`LoadBalancerRR`) and proxysocket.go (`TryConnectEndpoints`); tests
//! `TestLoadBalanceWorksWithMultipleEndpointsAndUpdates`, `TestStickyLoadBalanceWorksWithMultipleEndpoints`.
//!
//! * New endpoints are shuffled and the round robin restarts, unless they are the same endpoints in another order. An
//!   endpoint that is listed twice gets two turns.
//! * A client that was seen less than the timeout ago, in whole seconds, goes to the same endpoint, and does not use up
//!   a turn.
//! * A client gets up to four connect attempts of 250 ms to 2 s. Each uses up a turn; from the second attempt on, the
//!   affinity of the client is overwritten.
//! * Quirk: the affinity timeout is fixed when the port is first seen. If its endpoints arrive before the Service, the
//!   timeout stays three hours.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    ModeState,
    clients::Clients,
    slots::{Id, Slots},
};
use crate::{DEFAULT_AFFINITY_TIMEOUT, order::Differences};
use discovery_core::policy::Rng;

/// `balancerState`: the round robin of one port, and the clients that session affinity remembers.
#[derive(Debug)]
pub(super) struct BalancerState {
    endpoints: Vec<SocketAddr>,
    index: usize,
    affinity: bool,
    timeout: Duration,
    /// The endpoints, each once. A client is forgotten with its endpoint, because the id of that endpoint ends.
    members: Slots<()>,
    clients: Clients<(Id, Instant)>,
}

/// The endpoints of a port after a change.
#[derive(Debug)]
pub(crate) struct Round {
    shuffled: Vec<SocketAddr>,
    changes: Differences,
}

impl Round {
    /// Shuffles new endpoints; both lists are in order and have duplicates. Returns `None` for the same endpoints.
    pub(crate) fn new(old: &[SocketAddr], new: &[SocketAddr], rng: &mut dyn Rng) -> Option<Self> {
        if old == new {
            return None;
        }
        let mut shuffled = new.to_vec();
        for at in (1..shuffled.len()).rev() {
            shuffled.swap(at, rng.below(at + 1));
        }
        let once = |list: &[SocketAddr]| {
            let mut list = list.to_vec();
            list.dedup();
            list
        };
        Some(Self { shuffled, changes: Differences::between(once(old), once(new)) })
    }
}

impl BalancerState {
    pub(super) fn new(timeout: Option<Duration>) -> Self {
        let timeout = timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(DEFAULT_AFFINITY_TIMEOUT);
        Self {
            endpoints: Vec::new(),
            index: 0,
            affinity: false,
            timeout,
            members: Slots::default(),
            clients: Clients::default(),
        }
    }

    /// `NewService`: only whether there is affinity can change.
    pub(super) fn set_affinity(&mut self, affinity: bool) {
        self.affinity = affinity;
    }

    /// `OnEndpointsUpdate`. Returns the former endpoints, for the caller to free.
    pub(super) fn set_round(&mut self, round: Round) -> Vec<SocketAddr> {
        for addr in round.changes.removed {
            self.members.find(addr).map(|id| self.members.remove(id));
        }
        for addr in round.changes.added {
            self.members.insert(addr, ());
        }
        self.index = 0;
        std::mem::replace(&mut self.endpoints, round.shuffled)
    }

    /// `NextEndpoint`: the endpoint, and whether affinity chose it; `None` is "missing endpoints".
    pub(super) fn next(&mut self, client: IpAddr, reset: bool, now: Instant) -> Option<(SocketAddr, bool)> {
        let (members, timeout) = (&self.members, self.timeout);
        if self.affinity
            && !reset
            && let Some((id, last)) = self.clients.get_mut(client)
            && let Some((endpoint, ())) = members.get(*id)
            && is_fresh(*last, now, timeout)
        {
            *last = now;
            return Some((*endpoint, true));
        }
        let endpoint = *self.endpoints.get(self.index)?;
        self.index = (self.index + 1) % self.endpoints.len();
        if let Some(id) = self.members.find(endpoint).filter(|_| self.affinity) {
            let is_alive =
                |_, (id, last): &mut (Id, Instant)| members.get(*id).is_some() && is_fresh(*last, now, timeout);
            self.clients.insert(client, (id, now), now, timeout, is_alive);
        }
        Some((endpoint, false))
    }
}

/// Compares whole seconds, as upstream does.
fn is_fresh(last: Instant, now: Instant, timeout: Duration) -> bool {
    now.saturating_duration_since(last).as_secs() < timeout.as_secs()
}

/// The connect timeout of each attempt in userspace mode, `EndpointDialTimeouts`: 3.75 s in total.
pub const DIAL_TIMEOUTS: [Duration; 4] =
    [Duration::from_millis(250), Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// The attempts to connect one client, in userspace mode.
///
/// Take the [next attempt](Self::attempt) when the previous one has failed. After the last attempt, close the client's
/// connection.
#[derive(Clone, Debug)]
pub struct DialAttempts {
    state: Arc<ModeState>,
    client: IpAddr,
    made: usize,
}

/// One attempt to connect to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DialAttempt {
    /// The endpoint to dial.
    pub addr: SocketAddr,
    /// The connect timeout.
    pub timeout: Duration,
}

impl DialAttempts {
    pub(crate) const fn new(state: Arc<ModeState>, client: IpAddr) -> Self {
        Self { state, client, made: 0 }
    }

    /// Returns the next attempt; `None` after the fourth, and at once if the Service has no endpoints.
    pub fn attempt(&mut self, now: Instant) -> Option<DialAttempt> {
        let timeout = *DIAL_TIMEOUTS.get(self.made)?;
        let addr = self.state.next_endpoint(self.client, self.made > 0, now)?;
        self.made += 1;
        Some(DialAttempt { addr, timeout })
    }
}
