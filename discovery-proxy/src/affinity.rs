//! `sessionAffinity: ClientIP` in iptables and nftables mode: a list of clients for each endpoint.
//!
//! Source: k/k pkg/proxy/iptables/proxier.go (`-m recent --rcheck --seconds --reap`, `--set`), linux
//! net/netfilter/xt_recent.c; k/k pkg/proxy/nftables/proxier.go (`update @affinity-…`). Userspace and IPVS keep
//! clients in ways of their own, beside their modes.
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
    clients: Clients,
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

/// Who is in an endpoint's list, and when each was last looked at: the time in [`Mark`] may be later.
type List = VecDeque<(Instant, IpAddr)>;

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
            let list = self.lists.remove(&endpoint).unwrap_or_default();
            list.into_iter().for_each(|(_, client)| forget(&mut self.clients, client, endpoint));
        }
    }

    /// The endpoint that a new connection of the client lands on, and whether it was known: one of `usable` that
    /// knows the client, else what `choose` says. Its list notes the connection.
    pub(super) fn land(
        &mut self,
        client: IpAddr,
        usable: &[SocketAddr],
        now: Instant,
        choose: impl FnOnce() -> Option<SocketAddr>,
    ) -> Option<(SocketAddr, bool)> {
        let (timeout, rule) = (self.timeout, self.rule);
        let mut marks = self.clients.get_mut(&client);
        let known = marks.as_mut().and_then(|marks| {
            let place = |mark: &&mut Mark| usable.iter().position(|endpoint| *endpoint == mark.endpoint);
            let fresh = marks.iter_mut().filter(|mark| rule.is_fresh(mark.last, now, timeout));
            fresh.filter_map(|mark| Some((place(&mark)?, mark))).min_by_key(|(at, _)| *at)
        });
        if let Some((_, mark)) = known {
            mark.last = now;
            return Some((mark.endpoint, true));
        }
        let endpoint = choose()?;
        if self.note(client, Mark { endpoint, last: now }) {
            self.lists.entry(endpoint).or_default().push_back((now, client));
            self.clean(endpoint, now);
        }
        Some((endpoint, false))
    }

    /// Returns whether the client is new to the endpoint.
    fn note(&mut self, client: IpAddr, mark: Mark) -> bool {
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

    /// Drops what is too old, a little each time, so that no connection waits for all of it; and what is too much.
    fn clean(&mut self, endpoint: SocketAddr, now: Instant) {
        let Some(list) = self.lists.get_mut(&endpoint) else { return };
        for _ in 0..2 {
            let Some((_, client)) =
                list.front().copied().filter(|(seen, _)| !self.rule.is_fresh(*seen, now, self.timeout))
            else {
                break;
            };
            list.pop_front();
            match last(&self.clients, client, endpoint).filter(|last| self.rule.is_fresh(*last, now, self.timeout)) {
                Some(last) => list.push_back((last, client)),
                None => forget(&mut self.clients, client, endpoint),
            }
        }
        if self.rule.limit.is_some_and(|limit| list.len() > limit) {
            let oldest =
                (0..list.len()).min_by_key(|at| list.get(*at).and_then(|(_, c)| last(&self.clients, *c, endpoint)));
            if let Some((_, client)) = oldest.and_then(|at| list.remove(at)) {
                forget(&mut self.clients, client, endpoint);
            }
        }
    }
}

impl Rule {
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

/// When a connection of the client last landed on the endpoint.
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
