//! The settings of a DNS server.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use super::{FakeDns, Shared};
use crate::{
    name::DnsName,
    server::Server,
    zone::{DEFAULT_TTL, Order, PodRecords, Zone},
};

/// The default seed for the order of addresses. It is fixed, so that every run sees the same order.
const DEFAULT_SEED: u64 = 0;

/// Configures a [`FakeDns`]. Created by [`FakeDns::builder`].
#[derive(Debug, Clone)]
#[must_use = "nothing starts before `start`"]
pub struct FakeDnsBuilder {
    address: SocketAddr,
    domain: DnsName,
    node_search: Vec<DnsName>,
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

    /// Sets the address to listen on, for UDP and TCP. Port 0 is any free port. Default: 127.0.0.1:0.
    pub fn address(mut self, address: impl Into<SocketAddr>) -> Self {
        self.address = address.into();
        self
    }

    /// Sets the cluster domain. Default: `cluster.local`.
    ///
    /// # Panics
    ///
    /// If `domain` is not a DNS name.
    #[track_caller]
    pub fn cluster_domain(mut self, domain: &str) -> Self {
        self.domain = DnsName::require("cluster domain", domain);
        self
    }

    /// Sets the TTL of every record without one of its own, in seconds. Default: 5, as in CoreDNS; kubeadm sets 30.
    pub fn ttl(mut self, seconds: u32) -> Self {
        self.ttl = seconds;
        self
    }

    /// Sets how pod address names are answered. Default: `Disabled`, as in CoreDNS; kubeadm sets `Insecure`.
    pub fn pod_records(mut self, mode: PodRecords) -> Self {
        self.pod_records = mode;
        self
    }

    /// Adds a search domain of the node, which every pod inherits after those of the cluster.
    ///
    /// # Panics
    ///
    /// If `domain` is not a DNS name.
    #[track_caller]
    pub fn node_search(mut self, domain: &str) -> Self {
        self.node_search.push(DnsName::require("search domain", domain));
        self
    }

    /// Sets the seed for the order of addresses in answers. Default: 0, the same in every run.
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
        let zone = Zone::new(&self.domain, self.address.ip(), self.ttl, self.pod_records);
        let shared = Arc::new(Shared::new(zone, Order::shuffled(self.seed)));
        let server = Server::start(self.address, Arc::clone(&shared)).await?;
        let (addr, node_search) = (server.addr(), self.node_search);
        Ok(FakeDns { addr, node_search, shared, server: tokio::sync::Mutex::new(Some(server)) })
    }
}
