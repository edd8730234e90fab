mod builder;
mod declare;
mod journal;
mod shared;

use std::{io, net::SocketAddr, sync::Arc};

use tokio::sync::Mutex;

pub use self::builder::FakeDnsBuilder;
pub(crate) use self::shared::Shared;
use crate::{
    kubelet,
    name::DnsName,
    script::{Rule, RuleId},
    server::Server,
    zone::{Order, Zone},
};

/// A DNS server on loopback that answers as CoreDNS does for the Services that a test declares.
///
/// UDP and TCP listen on the same port. Everything can be changed while it runs.
/// Dropping it stops the server; no task is left behind.
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
/// // ... give `dns.addr()` to the code under test as its nameserver, let it resolve ...
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
    /// None while stopped.
    server: Mutex<Option<Server>>,
}

/// Starting and stopping.
impl FakeDns {
    /// Starts on a free port of 127.0.0.1: cluster domain `cluster.local`, TTL 5 s.
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

    /// For another cluster domain, TTL or address.
    pub fn builder() -> FakeDnsBuilder {
        FakeDnsBuilder::new()
    }

    async fn launch(zone: Zone, order: Order, settings: FakeDnsBuilder) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(zone, order));
        let server = Server::start(settings.address, Arc::clone(&shared)).await?;
        Ok(Self { addr: server.addr(), node_search: settings.node_search, shared, server: Mutex::new(Some(server)) })
    }

    /// The address for UDP and for TCP. It stays the same after a [`restart`](Self::restart).
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Closes the sockets and cuts every connection: a dead nameserver. Declarations and records stay.
    ///
    /// Resolves when the port is closed. Not cancel-safe: if cancelled, the sockets close a little later.
    pub async fn stop(&self) {
        if let Some(server) = self.server.lock().await.take() {
            server.stop().await;
        }
    }

    /// Starts again on the same port, after stopping if need be.
    ///
    /// # Errors
    ///
    /// If somebody else has taken the port in the meantime, and keeps it for 2 seconds.
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
    /// Adds a rule after those in force.
    pub fn script(&self, rule: Rule) -> RuleId {
        self.shared.lock().script.add(rule)
    }

    /// Removes one rule; false if it is gone already.
    pub fn remove_rule(&self, rule: RuleId) -> bool {
        self.shared.lock().script.remove(rule)
    }

    /// Removes all rules.
    pub fn clear_script(&self) {
        self.shared.lock().script.clear();
    }
}

/// What a kubelet would tell a pod.
impl FakeDns {
    /// The `resolv.conf` of a pod of `namespace` with `dnsPolicy: ClusterFirst`.
    ///
    /// The format has no place for a port: a resolver that reads it must be told the port of
    /// [`addr`](Self::addr) by other means.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let dns = discovery_testing::FakeDns::start().await?;
    /// assert_eq!(
    ///     dns.resolv_conf("shop"),
    ///     "search shop.svc.cluster.local svc.cluster.local cluster.local\n\
    ///      nameserver 127.0.0.1\n\
    ///      options ndots:5\n"
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
        let namespace = crate::name::require_label("namespace", namespace);
        let state = self.shared.lock();
        let domain = state.zone.domain();
        kubelet::resolv_conf(&namespace, domain, self.addr.ip(), &self.node_search)
    }
}
