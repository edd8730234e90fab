//! Our core, fed with the objects of the same API server.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

use discovery_core::policy::SplitMix64;

use discovery_proxy::{
    Changes, Choice, Cidr, Config, Flow, HealthCheck, IptablesConfig, LocalDetector, Mode, NamespacedName, Proxier,
    object::{EndpointSlice, IpFamily, Node, Protocol, Service},
};
use k8s_openapi::api::{core::v1, discovery::v1 as discovery};
use kube::{Api, api::ListParams};

use super::{network::TestFlow, outcome::Outcome, world};
use crate::harness::{Cluster, GATEWAY, NODE_NAME, ProxyMode};

/// A day is longer than any affinity timeout in these tests.
const DAY: Duration = Duration::from_secs(86_400);

/// Enough decisions to see each of up to ten endpoints: one of them is missed once in 10^11 runs.
const DECISIONS: u32 = 300;

/// The settings with which kube-proxy is started.
pub(super) fn config(mode: ProxyMode) -> Config {
    let range = |text| Cidr::parse(text).unwrap_or_else(|| panic!("{text}"));
    let mode = match mode {
        ProxyMode::Nftables => Mode::Nftables,
        _ => Mode::Iptables(IptablesConfig::default()),
    };
    Config::new(IpFamily::V4, mode)
        .with_node_name(NODE_NAME)
        .with_detector(LocalDetector::Cidr(range("10.244.0.0/16")))
        .with_service_cidrs([range("10.96.0.0/16")])
}

/// Our core with all objects of the API server.
pub(super) struct Ours {
    proxy: Proxier,
    now: Instant,
    rng: SplitMix64,
    /// The Services that were read last.
    services: Vec<NamespacedName>,
    slices: Vec<EndpointSlice>,
}

impl Ours {
    pub(super) async fn read(cluster: &Cluster, config: Config) -> Self {
        let proxy = Proxier::new(config);
        let (now, rng) = (Instant::now(), SplitMix64::with_seed(1));
        let mut ours = Self { proxy, now, rng, services: Vec::new(), slices: Vec::new() };
        ours.read_again(cluster).await;
        ours
    }

    /// Reads all objects again and applies the changes.
    pub(super) async fn read_again(&mut self, cluster: &Cluster) -> Changes {
        let (client, all) = (cluster.client(), ListParams::default());
        for node in Api::<v1::Node>::all(client.clone()).list(&all).await.unwrap() {
            self.proxy.apply_node(&with_links(&node));
        }
        let services = Api::<v1::Service>::all(client.clone()).list(&all).await.unwrap();
        let services: Vec<Service> = services.iter().map(Service::from).collect();
        let slices = Api::<discovery::EndpointSlice>::all(client).list(&all).await.unwrap();
        let slices: Vec<EndpointSlice> = slices.iter().map(EndpointSlice::from).collect();
        services.iter().for_each(|service| self.proxy.apply_service(service));
        slices.iter().for_each(|slice| self.proxy.apply_endpoint_slice(slice));
        let is =
            |one: &EndpointSlice, other: &EndpointSlice| (&one.namespace, &one.name) == (&other.namespace, &other.name);
        for gone in self.slices.iter().filter(|old| !slices.iter().any(|new| is(old, new))) {
            self.proxy.delete_endpoint_slice(gone);
        }
        let names: Vec<_> = services.iter().map(|one| NamespacedName::new(&one.namespace, &one.name)).collect();
        self.services.iter().filter(|old| !names.contains(old)).for_each(|gone| self.proxy.delete_service(gone));
        (self.services, self.slices) = (names, slices);
        self.proxy.sync(Instant::now(), &mut self.rng)
    }

    /// The health check of a Service, for load balancers.
    pub(super) fn health_check(&self, namespace: &str, name: &str) -> Option<HealthCheck> {
        self.proxy.snapshot().health_check(&NamespacedName::new(namespace, name)).cloned()
    }

    /// Decides a flow, with the affinity of earlier decisions.
    pub(super) fn decide(&mut self, sent: &TestFlow, now: Instant) -> (Option<SocketAddr>, Choice) {
        let flow = flow(sent);
        let snapshot = self.proxy.snapshot().clone();
        let verdict = snapshot.decide(&flow, now, &mut self.rng);
        let matched = verdict.matched().unwrap_or_else(|| panic!("{sent}: {verdict}"));
        (verdict.endpoint(), matched.choice)
    }

    /// All possible outcomes of a flow whose client is not remembered, and an explanation.
    pub(super) fn possible(&mut self, sent: &TestFlow) -> (BTreeSet<Outcome>, String) {
        let flow = flow(sent);
        let snapshot = self.proxy.snapshot().clone();
        let mut outcomes = BTreeSet::new();
        for _ in 0..DECISIONS {
            self.now += DAY;
            outcomes.insert(Outcome::from_verdict(&snapshot.decide(&flow, self.now, &mut self.rng), sent));
        }
        self.now += DAY;
        (outcomes, snapshot.decide(&flow, self.now, &mut self.rng).to_string())
    }
}

fn flow(sent: &TestFlow) -> Flow<'static> {
    let source = SocketAddr::new(sent.source.ip().into(), 40_000);
    let protocol = match sent.protocol {
        world::Protocol::Tcp => Protocol::Tcp,
        world::Protocol::Udp => Protocol::Udp,
    };
    Flow::new(protocol, source, sent.to)
}

/// Adds the node's address on its links to pods, which the API does not know.
pub(super) fn with_links(node: &v1::Node) -> Node {
    let mut node = Node::from(node);
    node.addresses.push(GATEWAY.to_owned());
    node
}
