use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use super::FakeDns;
use crate::{
    name::DnsName,
    zone::{DEFAULT_TTL, Order, PodRecords, Zone},
};

/// The seed of the order of addresses, if a test gives none: every run sees the same.
const DEFAULT_SEED: u64 = 0;

/// How a [`FakeDns`] starts. From [`FakeDns::builder`].
#[derive(Debug, Clone)]
#[must_use = "nothing starts before `start`"]
pub struct FakeDnsBuilder {
    pub(super) address: SocketAddr,
    pub(super) domain: DnsName,
    pub(super) node_search: Vec<DnsName>,
    ttl: u32,
    pod_records: PodRecords,
    seed: u64,
}

impl FakeDnsBuilder {
    pub(super) fn new() -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            domain: DnsName::require("cluster domain", "cluster.local"),
            node_search: Vec::new(),
            ttl: DEFAULT_TTL,
            pod_records: PodRecords::default(),
            seed: DEFAULT_SEED,
        }
    }

    /// The address to listen on, for UDP and TCP; port 0 is a free one. Default: 127.0.0.1:0.
    pub fn address(mut self, address: impl Into<SocketAddr>) -> Self {
        self.address = address.into();
        self
    }

    /// Default: `cluster.local`.
    ///
    /// # Panics
    ///
    /// If `domain` is not a DNS name.
    #[track_caller]
    pub fn cluster_domain(mut self, domain: &str) -> Self {
        self.domain = DnsName::require("cluster domain", domain);
        self
    }

    /// Seconds, for every record without a TTL of its own. Default: 5, as CoreDNS; kubeadm sets 30.
    pub fn ttl(mut self, seconds: u32) -> Self {
        self.ttl = seconds;
        self
    }

    /// How pod address names are answered. Default: not at all, as CoreDNS; kubeadm sets `Insecure`.
    pub fn pod_records(mut self, mode: PodRecords) -> Self {
        self.pod_records = mode;
        self
    }

    /// A search domain of the node, which every pod inherits after the ones of the cluster.
    ///
    /// # Panics
    ///
    /// If `domain` is not a DNS name.
    #[track_caller]
    pub fn node_search(mut self, domain: &str) -> Self {
        self.node_search.push(DnsName::require("search domain", domain));
        self
    }

    /// The seed of the order in which addresses are given. Default: 0, the same in every run.
    pub fn shuffle(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Starts the server. It stops when the [`FakeDns`] is dropped.
    ///
    /// # Errors
    ///
    /// If the address cannot be bound.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn start(self) -> io::Result<FakeDns> {
        let mut zone = Zone::new(&self.domain);
        zone.ttl = self.ttl;
        zone.pod_records = self.pod_records;
        zone.server = self.address.ip();
        let order = Order::shuffled(self.seed);
        FakeDns::launch(zone, order, self).await
    }
}
