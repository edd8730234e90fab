//! `sessionAffinity: ClientIP` in iptables and nftables mode: a list of clients for each endpoint.
//!
//! Source: k/k pkg/proxy/iptables/proxier.go (`-m recent --rcheck --seconds --reap`, `--set`), linux
//! net/netfilter/xt_recent.c; k/k pkg/proxy/nftables/proxier.go (`update @affinity-…`). Userspace and IPVS keep clients in
//! ways of their own, beside their modes.
//!
//! * A new connection is looked for in the lists of the endpoints that it may use, in order: the first that has the
//!   client wins. Wherever a connection lands, that endpoint's list notes the client and the time.
//! * Lists belong to (port of a Service, endpoint): all addresses of the port share them, two ports do not. A
//!   list goes with its endpoint.
//! * iptables: a client is known up to and including `last + timeout`; nftables: until just before.
//! * iptables: a list holds 100 clients (xt_recent's `ip_list_tot`), and drops the one refreshed longest ago for
//!   another.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use super::table::BuildMixer;

/// The clients of one port of a Service.
#[derive(Debug)]
pub(super) struct Recent {
    timeout: Duration,
    rule: Rule,
    clients: HashMap<IpAddr, Marks, BuildMixer>,
    lists: BTreeMap<SocketAddr, List>,
}

/// What differs between the modes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// Whether a client is still known at the end of its time.
    pub(super) inclusive: bool,
    /// How many clients a list holds.
    pub(super) limit: Option<usize>,
}

/// The lists that a client is in: nearly always one.
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

#[derive(Debug, Default)]
struct List {
    len: usize,
    /// Who came when. A client that came again is further behind as well; where it is in front is void then.
    order: VecDeque<(Instant, IpAddr)>,
}

impl Recent {
    pub(super) fn new(rule: Rule) -> Self {
        Self { timeout: Duration::ZERO, rule, clients: HashMap::default(), lists: BTreeMap::new() }
    }

    /// Sets the timeout, and forgets all endpoints but these. Without affinity there are no lists.
    pub(super) fn update(&mut self, timeout: Option<Duration>, reachable: &[SocketAddr]) {
        let Some(timeout) = timeout else {
            self.clients = HashMap::default();
            self.lists = BTreeMap::new();
            return;
        };
        self.timeout = timeout;
        let gone = |endpoint: &&SocketAddr| !reachable.contains(endpoint);
        for endpoint in self.lists.keys().filter(gone).copied().collect::<Vec<_>>() {
            let clients = self.lists.remove(&endpoint).unwrap_or_default().order;
            clients.into_iter().for_each(|(_, client)| forget(&mut self.clients, client, endpoint));
        }
    }

    /// The endpoint among `usable` that knows the client.
    pub(super) fn find(&self, client: IpAddr, usable: &[SocketAddr], now: Instant) -> Option<SocketAddr> {
        let marks = self.clients.get(&client)?;
        let place = |mark: &Mark| usable.iter().position(|endpoint| *endpoint == mark.endpoint);
        let known = marks.iter().filter(|mark| self.is_fresh(mark.last, now)).filter_map(place).min();
        known.and_then(|at| usable.get(at).copied())
    }

    /// Notes that a connection of the client has landed on the endpoint.
    pub(super) fn record(&mut self, client: IpAddr, endpoint: SocketAddr, now: Instant) {
        let mark = Mark { endpoint, last: now };
        let is_new = match self.clients.get_mut(&client) {
            None => self.clients.insert(client, Marks { first: mark, more: Vec::new() }).is_none(),
            Some(marks) => match marks.note(mark) {
                Some(before) if before == now => return,
                before => before.is_none(),
            },
        };
        let list = self.lists.entry(endpoint).or_default();
        list.len += usize::from(is_new);
        list.order.push_back((now, client));
        self.clean(endpoint, now);
    }

    fn is_fresh(&self, last: Instant, now: Instant) -> bool {
        let age = now.saturating_duration_since(last);
        age < self.timeout || (self.rule.inclusive && age == self.timeout)
    }

    /// Drops what is too old or too many; a little each time, so that no connection waits for all of it.
    fn clean(&mut self, endpoint: SocketAddr, now: Instant) {
        let Some(mut list) = self.lists.remove(&endpoint) else { return };
        let mut budget = 2;
        while let Some(&(last, client)) = list.order.front() {
            let is_void = !self.is_last(client, endpoint, last);
            let is_over = self.rule.limit.is_some_and(|limit| list.len > limit);
            if !is_over && (budget == 0 || (!is_void && self.is_fresh(last, now))) {
                break;
            }
            budget = usize::saturating_sub(budget, 1);
            list.order.pop_front();
            if !is_void {
                forget(&mut self.clients, client, endpoint);
                list.len -= 1;
            }
        }
        if list.order.len() > 2 * list.len + SLACK {
            list.order.retain(|(last, client)| self.is_last(*client, endpoint, *last));
        }
        self.lists.insert(endpoint, list);
    }

    fn is_last(&self, client: IpAddr, endpoint: SocketAddr, last: Instant) -> bool {
        let is_it = |mark: &Mark| mark.endpoint == endpoint && mark.last == last;
        self.clients.get(&client).is_some_and(|marks| marks.iter().any(is_it))
    }
}

impl Marks {
    fn iter(&self) -> impl Iterator<Item = &Mark> {
        std::iter::once(&self.first).chain(&self.more)
    }

    /// Sets or adds a mark; returns when the endpoint was marked before.
    fn note(&mut self, mark: Mark) -> Option<Instant> {
        let mut all = std::iter::once(&mut self.first).chain(&mut self.more);
        let before =
            all.find(|one| one.endpoint == mark.endpoint).map(|one| std::mem::replace(&mut one.last, mark.last));
        if before.is_none() {
            self.more.push(mark);
        }
        before
    }
}

fn forget(clients: &mut HashMap<IpAddr, Marks, BuildMixer>, client: IpAddr, endpoint: SocketAddr) {
    let Some(marks) = clients.get_mut(&client) else { return };
    marks.more.retain(|mark| mark.endpoint != endpoint);
    if marks.first.endpoint == endpoint {
        match marks.more.pop() {
            Some(other) => marks.first = other,
            None => drop(clients.remove(&client)),
        }
    }
}

/// Void entries that are not worth a clean-up.
const SLACK: usize = 64;
