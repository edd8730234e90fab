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
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use super::ModeState;
use crate::{DEFAULT_AFFINITY_TIMEOUT, table::BuildMixer};
use discovery_core::policy::Rng;

/// `balancerState`: the round robin of one port, and the clients that session affinity remembers.
#[derive(Debug)]
pub(super) struct BalancerState {
    endpoints: Vec<SocketAddr>,
    index: usize,
    affinity: bool,
    clients: HashMap<IpAddr, (SocketAddr, Instant), BuildMixer>,
    timeout: Duration,
}

impl BalancerState {
    pub(super) fn new(timeout: Option<Duration>) -> Self {
        let timeout = timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(DEFAULT_AFFINITY_TIMEOUT);
        Self { endpoints: Vec::new(), index: 0, affinity: false, clients: HashMap::default(), timeout }
    }

    /// `NewService`: only whether there is affinity can change.
    pub(super) fn set_affinity(&mut self, affinity: bool) {
        self.affinity = affinity;
    }

    /// `OnEndpointsUpdate`.
    pub(super) fn set_endpoints(&mut self, new: &[SocketAddr], now: Instant, rng: &mut dyn Rng) {
        self.clients.retain(|_, (_, last)| is_fresh(*last, now, self.timeout));
        if sorted(new) == sorted(&self.endpoints) {
            return;
        }
        self.clients.retain(|_, (endpoint, _)| new.contains(endpoint));
        self.endpoints = new.to_vec();
        for at in (1..self.endpoints.len()).rev() {
            self.endpoints.swap(at, rng.below(at + 1));
        }
        self.index = 0;
    }

    /// `NextEndpoint`: the endpoint, and whether affinity chose it; `None` is "missing endpoints".
    pub(super) fn next(&mut self, client: IpAddr, reset: bool, now: Instant) -> Option<(SocketAddr, bool)> {
        let remembers = self.affinity && !reset && !self.endpoints.is_empty();
        if let Some((endpoint, last)) = self.clients.get_mut(&client).filter(|_| remembers)
            && is_fresh(*last, now, self.timeout)
        {
            *last = now;
            return Some((*endpoint, true));
        }
        let endpoint = *self.endpoints.get(self.index)?;
        self.index = (self.index + 1) % self.endpoints.len();
        if self.affinity {
            self.clients.insert(client, (endpoint, now));
        }
        Some((endpoint, false))
    }
}

/// Compares whole seconds, as upstream does.
fn is_fresh(last: Instant, now: Instant, timeout: Duration) -> bool {
    now.saturating_duration_since(last).as_secs() < timeout.as_secs()
}

fn sorted(endpoints: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut sorted = endpoints.to_vec();
    sorted.sort_unstable();
    sorted
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
