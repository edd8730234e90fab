//! A cluster on loopback.

mod address;
mod service;

use std::{collections::BTreeMap, io, sync::Arc};

pub use self::service::{FakeService, FakeServiceBuilder};
use crate::dns::FakeDns;

/// A cluster on loopback: a [`FakeDns`], and Services backed by [`FakePod`](crate::FakePod)s.
///
/// Each pod has its own address in 127.0.0.0/8, and all pods of a Service listen on the same port, so a headless
/// Service works as it does in Kubernetes; [`port_per_pod`](FakeServiceBuilder::port_per_pod) gives each pod another
/// port. This requires a system where all of 127.0.0.0/8 is loopback without setup:
/// Linux, not macOS.
///
/// ```
/// use discovery_testing::{Behavior, FakeCluster};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let cluster = FakeCluster::start().await?;
/// let orders = cluster.service("shop", "orders").replicas(3).start().await?;
///
/// // What the code under test needs to find them:
/// let env = cluster.env("shop");
/// assert_eq!(env["DISCOVERY_NAMESERVERS"], cluster.dns().addr().to_string());
/// assert_eq!(env["POD_NAMESPACE"], "shop");
///
/// // Disturb them:
/// orders.pods()[0].set_behavior(Behavior::Slow(Duration::from_millis(200)));
/// orders.kill(1).await;
/// orders.add_pod().await?;
/// orders.rolling_restart().await?;
/// assert_eq!(orders.pods().len(), 4);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FakeCluster {
    dns: Arc<FakeDns>,
}

impl FakeCluster {
    /// Starts a cluster with its own DNS server and no Services.
    ///
    /// # Errors
    ///
    /// If no port can be bound.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn start() -> io::Result<Self> {
        Ok(Self::with_dns(FakeDns::start().await?))
    }

    /// Creates a cluster around an existing DNS server.
    #[must_use]
    pub fn with_dns(dns: FakeDns) -> Self {
        Self { dns: Arc::new(dns) }
    }

    /// Returns the DNS server.
    #[must_use]
    pub fn dns(&self) -> &FakeDns {
        &self.dns
    }

    /// Configures a headless Service and its pods.
    ///
    /// # Panics
    ///
    /// If a name is not a DNS label.
    #[track_caller]
    pub fn service(&self, namespace: &str, name: &str) -> FakeServiceBuilder {
        FakeServiceBuilder::new(Arc::clone(&self.dns), namespace, name)
    }

    /// Returns the `resolv.conf` of a pod: see [`FakeDns::resolv_conf`].
    ///
    /// # Panics
    ///
    /// If `namespace` is not a DNS label.
    #[must_use]
    #[track_caller]
    pub fn resolv_conf(&self, namespace: &str) -> String {
        self.dns.resolv_conf(namespace)
    }

    /// Returns the settings of the discovery crates for a program in `namespace`: `DISCOVERY_NAMESERVERS` (address and
    /// port) and `POD_NAMESPACE`.
    #[must_use]
    pub fn env(&self, namespace: &str) -> BTreeMap<String, String> {
        let nameservers = self.dns.addr().to_string();
        BTreeMap::from([
            ("DISCOVERY_NAMESERVERS".to_owned(), nameservers),
            ("POD_NAMESPACE".to_owned(), namespace.to_owned()),
        ])
    }

    /// Returns the variables of the ClusterIP Services declared in `namespace`: see [`FakeDns::service_env`].
    #[must_use]
    pub fn service_env(&self, namespace: &str) -> BTreeMap<String, String> {
        self.dns.service_env(namespace)
    }
}
