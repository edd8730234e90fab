//! The scripted DNS server and its handle.

mod builder;
mod declare;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hickory_proto::op::ResponseCode;
use tokio::sync::watch;

pub use self::builder::FakeDnsBuilder;
use crate::{
    kubelet,
    name::{DnsName, normalize, require_label},
    query::{QType, ReceivedQuery},
    script::{Action, Rule, RuleId, Script, Verdict},
    server::Server,
    zone::{Answer, Order, Zone},
};

/// A DNS server on loopback that answers as CoreDNS does, for the Services that a test declares.
///
/// UDP and TCP use the same port. Everything can be changed while the server runs. Dropping it stops the server, and
/// leaves no task behind.
///
/// ```
/// use discovery_testing::{FakeDns, QType, Rule, Service};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let dns = FakeDns::start().await?;
/// dns.apply(Service::cluster_ip("shop", "orders").ip("10.0.0.1").port("http", 80));
/// dns.script(Rule::any().name("orders.shop.svc.cluster.local").times(3).drop());
///
/// // ... pass `dns.addr()` to the code under test as its nameserver, and let it resolve ...
/// assert!(dns.addr().ip().is_loopback());
/// assert_eq!(dns.count("orders.shop.svc.cluster.local", QType::A), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FakeDns {
    addr: SocketAddr,
    node_search: Vec<DnsName>,
    shared: Arc<Shared>,
    /// `None` while stopped.
    server: tokio::sync::Mutex<Option<Server>>,
}

/// Starting and stopping.
impl FakeDns {
    /// Starts a server on a free port of 127.0.0.1, with cluster domain `cluster.local` and TTL 5 s.
    ///
    /// # Errors
    ///
    /// If no port can be bound.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn start() -> io::Result<Self> {
        Self::builder().start().await
    }

    /// Configures another cluster domain, TTL or address.
    pub fn builder() -> FakeDnsBuilder {
        FakeDnsBuilder::new()
    }

    /// Returns the address for UDP and TCP. A [`restart`](Self::restart) keeps it.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Closes the sockets and every connection, like a dead nameserver. Declarations and received queries stay.
    ///
    /// Resolves when the port is closed. Not cancel-safe: if canceled, the sockets close a little later.
    pub async fn stop(&self) {
        if let Some(server) = self.server.lock().await.take() {
            server.stop().await;
        }
    }

    /// Starts the server again on the same port, and stops it first if it runs.
    ///
    /// # Errors
    ///
    /// If another program took the port in the meantime, and keeps it for 2 seconds.
    pub async fn restart(&self) -> io::Result<()> {
        let mut running = self.server.lock().await;
        if let Some(server) = running.take() {
            server.stop().await;
        }
        *running = Some(Server::start(self.addr, Arc::clone(&self.shared)).await?);
        Ok(())
    }
}

/// Scripting.
impl FakeDns {
    /// Adds a rule after the existing ones.
    pub fn script(&self, rule: Rule) -> RuleId {
        self.shared.lock().script.add(rule)
    }

    /// Removes a rule; returns false if it was removed before.
    pub fn remove_rule(&self, rule: RuleId) -> bool {
        self.shared.lock().script.remove(rule)
    }

    /// Removes all rules.
    pub fn clear_script(&self) {
        self.shared.lock().script.clear();
    }
}

/// Received queries. A query is recorded before it is answered.
impl FakeDns {
    /// Returns every query since the start or the last [`forget`](Self::forget), in order of arrival.
    #[must_use]
    pub fn questions(&self) -> Vec<ReceivedQuery> {
        self.shared.lock().journal.clone()
    }

    /// Returns how many queries had this name and type, over any transport, answered or not.
    #[must_use]
    pub fn count(&self, name: &str, qtype: QType) -> usize {
        let name = normalize(name);
        self.count_matching(|query| query.name == name && query.qtype == qtype)
    }

    /// Returns the number of all queries.
    #[must_use]
    pub fn total(&self) -> usize {
        self.shared.lock().journal.len()
    }

    /// Clears the recorded queries.
    pub fn forget(&self) {
        self.shared.lock().journal.clear();
    }

    /// Resolves when at least `n` of the recorded queries match. Cancel-safe.
    ///
    /// The call waits without a timeout: wrap it in `tokio::time::timeout`.
    pub async fn asked(&self, matches: impl Fn(&ReceivedQuery) -> bool, n: usize) {
        let mut recorded = self.shared.recorded.subscribe();
        while self.count_matching(&matches) < n {
            if recorded.changed().await.is_err() {
                return;
            }
        }
    }

    fn count_matching(&self, matches: impl Fn(&ReceivedQuery) -> bool) -> usize {
        let state = self.shared.lock();
        state.journal.iter().filter(|query| matches(query)).count()
    }
}

/// Configuration of pods.
impl FakeDns {
    /// Returns the `resolv.conf` that a kubelet writes for a pod of `namespace` with `dnsPolicy: ClusterFirst`.
    ///
    /// The search list is cut as the kubelet cuts it: at 32 domains, and at 2,048 characters.
    ///
    /// The kubelet cannot write a port. Unless the port of [`addr`](Self::addr) is 53, the nameserver is written as
    /// `ip:port`, which the discovery crates accept. The C libraries and most other resolvers do not: give those a
    /// server on port 53 ([`FakeDnsBuilder::address`]), or pass the port by other means.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let dns = discovery_testing::FakeDns::start().await?;
    /// assert_eq!(
    ///     dns.resolv_conf("shop"),
    ///     format!(
    ///         "search shop.svc.cluster.local svc.cluster.local cluster.local\n\
    ///          nameserver {}\n\
    ///          options ndots:5\n",
    ///         dns.addr()
    ///     )
    /// );
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If `namespace` is not a DNS label.
    #[must_use]
    #[track_caller]
    pub fn resolv_conf(&self, namespace: &str) -> String {
        let namespace = require_label("namespace", namespace);
        let state = self.shared.lock();
        let domain = state.zone.domain();
        kubelet::resolv_conf(&namespace, domain, self.addr, &self.node_search)
    }
}

/// What the server's tasks and the handle share.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Changes with every recorded query.
    recorded: watch::Sender<()>,
}

#[derive(Debug)]
struct State {
    zone: Zone,
    order: Order,
    script: Script,
    journal: Vec<ReceivedQuery>,
}

impl Shared {
    fn new(zone: Zone, order: Order) -> Self {
        let state = State { zone, order, script: Script::default(), journal: Vec::new() };
        Self { state: Mutex::new(state), recorded: watch::Sender::new(()) }
    }

    /// Records a query, and answers it from the script and the zone. `name` has the case of the query.
    pub(crate) fn answer(&self, mut query: ReceivedQuery, name: &str, is_class_in: bool) -> (Verdict, Answer) {
        let mut state = self.lock();
        let verdict = state.script.decide(&query);
        query.dropped = matches!(verdict.action, Action::Drop | Action::Disconnect);
        let mut answer = match verdict.action {
            Action::ServFail => Answer::from_code(ResponseCode::ServFail),
            Action::Refuse => Answer::from_code(ResponseCode::Refused),
            Action::NxDomain => state.zone.negative(name, ResponseCode::NXDomain),
            Action::NoData => state.zone.negative(name, ResponseCode::NoError),
            _ if !is_class_in => Answer::from_code(ResponseCode::Refused),
            _ => state.zone.answer(name, query.qtype),
        };
        state.order.apply(&mut answer);
        state.journal.push(query);
        drop(state);
        self.recorded.send_replace(());
        if let Some(ttl) = verdict.ttl {
            answer.set_ttl(ttl);
        }
        (verdict, answer)
    }

    /// Ignores poisoning: the message of a test that panics in a predicate must stay visible.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
