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
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use super::{
    clients::Clients,
    slots::{Id, Slots},
};
use crate::order::{self, Differences};
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
    /// The list of each reachable endpoint: its clients, in the modes that limit them.
    lists: Slots<Vec<IpAddr>>,
    clients: Clients<Marks>,
}

/// The differences between the modes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Whether a client is still known when its time is exactly over.
    inclusive: bool,
    /// How many clients a list holds.
    per_endpoint: Option<usize>,
}

/// The lists that contain a client: nearly always one. A mark ends with its list.
#[derive(Debug, Default)]
struct Marks {
    first: Option<Mark>,
    more: Vec<Mark>,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    list: Id,
    last: Instant,
}

impl AffinityLists {
    pub(super) fn new(limits: Limits) -> Self {
        Self { timeout: Duration::ZERO, limits, lists: Slots::default(), clients: Clients::default() }
    }

    /// Sets the timeout, deletes the lists of endpoints that are not reachable any more, and creates those of others.
    pub(super) fn update(&mut self, timeout: Duration, changes: &Differences) {
        self.timeout = timeout;
        for addr in &changes.removed {
            self.lists.find(*addr).map(|list| self.lists.remove(list));
        }
        for addr in &changes.added {
            self.lists.insert(*addr, Vec::new());
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
        let (timeout, limits, lists) = (self.timeout, self.limits, &self.lists);
        let known = self.clients.get_mut(client).and_then(|marks| {
            let usable = |mark: &&mut Mark| {
                let (endpoint, _) = lists.get(mark.list)?;
                Some((order::position(usable, *endpoint)?, *endpoint))
            };
            let fresh = marks.iter_mut().filter(|mark| limits.is_fresh(mark.last, now, timeout));
            fresh.filter_map(|mark| Some((usable(&mark)?, mark))).min_by_key(|((index, _), _)| *index)
        });
        if let Some(((_, endpoint), mark)) = known {
            mark.last = now;
            return Some((endpoint, true));
        }
        let endpoint = draw()?;
        // A reader with an older snapshot may choose an endpoint that has no list any more.
        if let Some(list) = self.lists.find(endpoint) {
            self.record(client, Mark { list, last: now });
        }
        Some((endpoint, false))
    }

    fn record(&mut self, client: IpAddr, mark: Mark) {
        let Self { timeout, limits, lists, clients } = self;
        let is_new = match clients.get_mut(client) {
            Some(marks) => marks.add(mark, lists),
            None => {
                let marks = Marks { first: Some(mark), more: Vec::new() };
                clients.insert(client, marks, mark.last, *timeout, |client, marks| {
                    marks.retain(|one| {
                        let is_fresh = limits.is_fresh(one.last, mark.last, *timeout);
                        if let Some(list) = lists.get_mut(one.list).filter(|_| !is_fresh) {
                            list.retain(|other| *other != client);
                        }
                        is_fresh && lists.get(one.list).is_some()
                    });
                    marks.first.is_some()
                });
                true
            }
        };
        if is_new && let Some(limit) = limits.per_endpoint {
            self.limit(client, mark.list, limit);
        }
    }

    /// Adds a client to a list, and evicts the one refreshed longest ago if the list is too long.
    fn limit(&mut self, client: IpAddr, id: Id, limit: usize) {
        let Some(list) = self.lists.get_mut(id) else { return };
        list.push(client);
        if list.len() <= limit {
            return;
        }
        let last = |client: IpAddr| self.clients.get(client)?.iter().find(|mark| mark.list == id).map(|mark| mark.last);
        let oldest = list.iter().enumerate().min_by_key(|(_, client)| last(**client)).map(|(at, _)| at);
        let evicted = oldest.map(|at| list.remove(at));
        if let Some(marks) = evicted.and_then(|client| self.clients.get_mut(client)) {
            marks.retain(|mark| mark.list != id);
        }
    }
}

impl Limits {
    pub(super) const fn of_iptables(config: IptablesConfig) -> Self {
        Self { inclusive: true, per_endpoint: config.recent_limit }
    }

    pub(super) const fn of_nftables() -> Self {
        Self { inclusive: false, per_endpoint: None }
    }

    fn is_fresh(self, last: Instant, now: Instant, timeout: Duration) -> bool {
        let age = now.saturating_duration_since(last);
        age < timeout || (self.inclusive && age == timeout)
    }
}

impl Marks {
    fn iter(&self) -> impl Iterator<Item = &Mark> {
        self.first.iter().chain(&self.more)
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Mark> {
        self.first.iter_mut().chain(&mut self.more)
    }

    /// Adds a mark, in place of one for the same list or of those that have ended; returns whether the list is new.
    fn add(&mut self, mark: Mark, lists: &Slots<Vec<IpAddr>>) -> bool {
        if let Some(old) = self.iter_mut().find(|old| old.list == mark.list) {
            old.last = mark.last;
            return false;
        }
        self.retain(|old| lists.get(old.list).is_some());
        match self.first {
            None => self.first = Some(mark),
            Some(_) => self.more.push(mark),
        }
        true
    }

    fn retain(&mut self, mut keep: impl FnMut(&Mark) -> bool) {
        self.more.retain(&mut keep);
        if self.first.is_some_and(|first| !keep(&first)) {
            self.first = self.more.pop();
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
