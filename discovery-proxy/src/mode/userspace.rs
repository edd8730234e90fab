//! Userspace mode: the proxy ends connections itself and dials.
//!
//! Source: k/k pkg/proxy/userspace/roundrobin.go (`LoadBalancerRR`) and proxysocket.go (`TryConnectEndpoints`); tests
//! `TestLoadBalanceWorksWithMultipleEndpointsAndUpdates`, `TestStickyLoadBalanceWorksWithMultipleEndpoints`.
//!
//! * New endpoints are shuffled and the round begins anew, unless they are the same as before in some order.
//!   One that is listed twice has two turns.
//! * A client that is remembered for less than the timeout, in whole seconds, goes where it went, and takes
//!   nobody's turn.
//! * Up to four attempts, of 250 ms to 2 s. Each takes a turn; from the second on, memory is overwritten.
//! * Quirk: the timeout is settled when the port is first heard of. If endpoints come before the Service, it is
//!   three hours for good.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use super::Cell;
use crate::{DEFAULT_AFFINITY_TIMEOUT, table::BuildMixer};
use discovery_core::policy::Rng;

/// `balancerState`: the round of one port, and who is remembered.
#[derive(Debug)]
pub(crate) struct BalancerState {
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

    /// `NewService`: only the kind of affinity can change.
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

    /// `NextEndpoint`, and whether it was remembered; `None` is "missing endpoints".
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

/// In whole seconds, as upstream counts: 0.9 s after a timeout of 10 s, a client is still known.
fn is_fresh(last: Instant, now: Instant, timeout: Duration) -> bool {
    now.saturating_duration_since(last).as_secs() < timeout.as_secs()
}

fn sorted(endpoints: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut sorted = endpoints.to_vec();
    sorted.sort_unstable();
    sorted
}

/// How long each attempt may take to connect, `EndpointDialTimeouts`: 3.75 s altogether.
pub const DIAL_TIMEOUTS: [Duration; 4] =
    [Duration::from_millis(250), Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// The attempts to connect one client. Ask for the next one when the last has failed; when there is none, close the
/// client's connection.
#[derive(Clone, Debug)]
pub struct Dial {
    cell: Arc<Cell>,
    client: IpAddr,
    attempt: usize,
}

/// One attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DialAttempt {
    /// Whom to dial.
    pub addr: SocketAddr,
    /// How long to wait for it.
    pub timeout: Duration,
}

impl Dial {
    pub(crate) const fn new(cell: Arc<Cell>, client: IpAddr) -> Self {
        Self { cell, client, attempt: 0 }
    }

    /// The next attempt; `None` after the fourth, and at once when the Service has no endpoints.
    pub fn attempt(&mut self, now: Instant) -> Option<DialAttempt> {
        let timeout = *DIAL_TIMEOUTS.get(self.attempt)?;
        let addr = self.cell.next_endpoint(self.client, self.attempt > 0, now)?;
        self.attempt += 1;
        Some(DialAttempt { addr, timeout })
    }
}
