//! iptables and nftables mode: one uniform draw, and `sessionAffinity: ClientIP` by a list of clients for each endpoint.
//!
//! Source for the draw: k/k pkg/proxy/iptables/proxier.go (`writeServiceToEndpointRules`). Rule `i` of `n` takes a
//! connection with probability `1 / (n - i)`, written with ten decimals, and the last rule takes the rest, so each
//! endpoint gets `1 / n`. nftables mode (nftables/proxier.go) uses `numgen random mod n vmap { 0 : …, 1 : … }` over the
//! endpoints in order. Both are one uniform draw here. If the endpoint refuses the connection or does not answer, the
//! client sees the failure: neither mode tries another endpoint.
//!
//! Source for affinity: k/k pkg/proxy/iptables/proxier.go (`-m recent --rcheck --seconds --reap`, `--set`), linux
//! net/netfilter/xt_recent.c; k/k pkg/proxy/nftables/proxier.go (`update @affinity-…`).
//!
//! * A new connection is looked up in the lists of the endpoints that it may use, in order. The first list that contains
//!   the client wins. The list of the endpoint that gets the connection records the client and the time.
//! * A list belongs to a Service port and an endpoint: all addresses of the port share it, other ports do not. A list is
//!   deleted with its endpoint.
//! * iptables mode knows a client up to and including `last + timeout`; nftables mode until just before that.
//! * An iptables list holds 100 clients (`ip_list_tot` of xt_recent), and evicts the client refreshed longest ago. An
//!   nftables set has no limit that kube-proxy sets.
//!
//! The other differences of nftables mode are elsewhere: node ports at the primary address only (`config.rs`), and
//! cluster IPs that answer for unserved ports and unallocated addresses (`snapshot.rs`).

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use crate::table::BuildMixer;
use discovery_core::policy::Rng;

/// The settings of iptables mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IptablesConfig {
    recent_limit: Option<usize>,
}

impl Default for IptablesConfig {
    fn default() -> Self {
        Self { recent_limit: Some(XT_RECENT_IP_LIST_TOT) }
    }
}

impl IptablesConfig {
    /// Sets how many clients each endpoint remembers for session affinity.
    ///
    /// The default is 100, as in the kernel: a new client evicts the client that was refreshed longest ago. `None`
    /// removes the limit.
    #[must_use]
    pub const fn with_recent_limit(mut self, limit: Option<usize>) -> Self {
        self.recent_limit = limit;
        self
    }
}

/// Draws the index of one of `count` endpoints, each with the same probability.
pub(crate) fn uniform(count: usize, rng: &mut dyn Rng) -> Option<usize> {
    match count {
        0 => None,
        1 => Some(0),
        several => Some(rng.below(several)),
    }
}

/// `ip_list_tot` of linux net/netfilter/xt_recent.c.
const XT_RECENT_IP_LIST_TOT: usize = 100;

/// The clients that session affinity remembers for one Service port.
#[derive(Debug)]
pub(super) struct AffinityLists {
    timeout: Duration,
    limits: Limits,
    clients: Clients,
    lists: BTreeMap<SocketAddr, List>,
}

/// The differences between the modes.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Whether a client is still known when its time is exactly over.
    inclusive: bool,
    /// How many clients a list holds.
    per_endpoint: Option<usize>,
}

/// The endpoints whose lists contain a client: nearly always one.
#[derive(Debug)]
struct Marks {
    first: Mark,
    more: Vec<Mark>,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    endpoint: SocketAddr,
    last: Instant,
}

/// The clients of an endpoint, and when each was last inspected: the time in [`Mark`] may be later.
type List = VecDeque<(Instant, IpAddr)>;

impl AffinityLists {
    pub(super) fn for_iptables(config: IptablesConfig) -> Self {
        Self::new(Limits { inclusive: true, per_endpoint: config.recent_limit })
    }

    pub(super) fn for_nftables() -> Self {
        Self::new(Limits { inclusive: false, per_endpoint: None })
    }

    fn new(limits: Limits) -> Self {
        Self { timeout: Duration::ZERO, limits, clients: HashMap::default(), lists: BTreeMap::new() }
    }

    /// Sets the timeout, and forgets all endpoints except the reachable ones. Without affinity, deletes all lists.
    pub(super) fn update(&mut self, timeout: Option<Duration>, reachable: &[SocketAddr]) {
        let Some(timeout) = timeout else {
            self.clients = HashMap::default();
            self.lists = BTreeMap::new();
            return;
        };
        self.timeout = timeout;
        let gone = |endpoint: &&SocketAddr| !reachable.contains(endpoint);
        for endpoint in self.lists.keys().filter(gone).copied().collect::<Vec<_>>() {
            let list = self.lists.remove(&endpoint).unwrap_or_default();
            list.into_iter().for_each(|(_, client)| forget(&mut self.clients, client, endpoint));
        }
    }

    /// The endpoint of a new connection, and whether the client was known: the first of `usable` whose list contains
    /// the client, or else the result of `draw`. Its list records the connection.
    pub(super) fn choose(
        &mut self,
        client: IpAddr,
        usable: &[SocketAddr],
        now: Instant,
        draw: impl FnOnce() -> Option<SocketAddr>,
    ) -> Option<(SocketAddr, bool)> {
        let (timeout, limits) = (self.timeout, self.limits);
        let mut marks = self.clients.get_mut(&client);
        let known = marks.as_mut().and_then(|marks| {
            let index = |mark: &&mut Mark| usable.iter().position(|endpoint| *endpoint == mark.endpoint);
            let fresh = marks.iter_mut().filter(|mark| limits.is_fresh(mark.last, now, timeout));
            fresh.filter_map(|mark| Some((index(&mark)?, mark))).min_by_key(|(index, _)| *index)
        });
        if let Some((_, mark)) = known {
            mark.last = now;
            return Some((mark.endpoint, true));
        }
        let endpoint = draw()?;
        if self.record(client, Mark { endpoint, last: now }) {
            self.lists.entry(endpoint).or_default().push_back((now, client));
            self.clean(endpoint, now);
        }
        Some((endpoint, false))
    }

    /// Records a connection; returns whether the client is new to the endpoint.
    fn record(&mut self, client: IpAddr, mark: Mark) -> bool {
        let Some(marks) = self.clients.get_mut(&client) else {
            self.clients.insert(client, Marks { first: mark, more: Vec::new() });
            return true;
        };
        if let Some(old) = marks.iter_mut().find(|old| old.endpoint == mark.endpoint) {
            old.last = mark.last;
            return false;
        }
        marks.more.push(mark);
        true
    }

    /// Removes expired clients, a few at a time so that no connection waits for all of them, and evicts one client if
    /// the list is too long.
    fn clean(&mut self, endpoint: SocketAddr, now: Instant) {
        let Some(list) = self.lists.get_mut(&endpoint) else { return };
        for _ in 0..2 {
            let Some((_, client)) =
                list.front().copied().filter(|(seen, _)| !self.limits.is_fresh(*seen, now, self.timeout))
            else {
                break;
            };
            list.pop_front();
            match last(&self.clients, client, endpoint).filter(|last| self.limits.is_fresh(*last, now, self.timeout)) {
                Some(last) => list.push_back((last, client)),
                None => forget(&mut self.clients, client, endpoint),
            }
        }
        if self.limits.per_endpoint.is_some_and(|limit| list.len() > limit) {
            let oldest =
                (0..list.len()).min_by_key(|at| list.get(*at).and_then(|(_, c)| last(&self.clients, *c, endpoint)));
            if let Some((_, client)) = oldest.and_then(|at| list.remove(at)) {
                forget(&mut self.clients, client, endpoint);
            }
        }
    }
}

impl Limits {
    fn is_fresh(self, last: Instant, now: Instant, timeout: Duration) -> bool {
        let age = now.saturating_duration_since(last);
        age < timeout || (self.inclusive && age == timeout)
    }
}

impl Marks {
    fn iter(&self) -> impl Iterator<Item = &Mark> {
        std::iter::once(&self.first).chain(&self.more)
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Mark> {
        std::iter::once(&mut self.first).chain(&mut self.more)
    }
}

type Clients = HashMap<IpAddr, Marks, BuildMixer>;

/// When the endpoint last got a connection from the client.
fn last(clients: &Clients, client: IpAddr, endpoint: SocketAddr) -> Option<Instant> {
    clients.get(&client)?.iter().find(|mark| mark.endpoint == endpoint).map(|mark| mark.last)
}

fn forget(clients: &mut Clients, client: IpAddr, endpoint: SocketAddr) {
    let Some(marks) = clients.get_mut(&client) else { return };
    marks.more.retain(|mark| mark.endpoint != endpoint);
    if marks.first.endpoint == endpoint {
        match marks.more.pop() {
            Some(other) => marks.first = other,
            None => drop(clients.remove(&client)),
        }
    }
}

#[cfg(test)]
mod tests {
    /// The probability of rule `index` of `n` as kube-proxy writes it: `%0.10f` of `1 / (n - index)`.
    fn probability(index: usize, n: usize) -> String {
        format!("{:.10}", 1.0 / (n - index) as f64)
    }

    /// 1/3, 1/2, and the last rule takes the rest.
    #[test]
    fn rule_probabilities_match_kube_proxy() {
        assert_eq!([0, 1, 2].map(|index| probability(index, 3)), ["0.3333333333", "0.5000000000", "1.0000000000"]);
    }

    /// The rules one after the other, with the kernel's comparison, give each endpoint the same share.
    #[test]
    fn chain_of_rules_is_uniform() {
        let n = 1000;
        let threshold = |index| (probability(index, n).parse::<f64>().unwrap() * 2_f64.powi(31)).round();
        let mut left = 1.0;
        for index in 0..n {
            let taken = left * threshold(index) / 2_f64.powi(31);
            assert!((taken * n as f64 - 1.0).abs() < 1e-6, "{index}: {taken}");
            left -= taken;
        }
    }
}
