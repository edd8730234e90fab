//! Our core, fed with the same objects by the same API server.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

use discovery_core::{
    policy::SplitMix64,
    proxy::{
        Choice, Cidr, Config, Flow, IptablesConfig, LocalDetector, Mode, Proxier,
        object::{EndpointSlice, IpFamily, Node, Protocol, Service},
    },
};
use k8s_openapi::api::{core::v1, discovery::v1 as discovery};
use kube::{Api, api::ListParams};

use super::{network::Sent, outcome::Outcome, world};
use crate::harness::{Cluster, GATEWAY, NODE_NAME, ProxyMode};

/// A day is longer than any affinity lasts here.
const DAY: Duration = Duration::from_secs(86_400);

/// So many decisions show every endpoint of up to ten: one is missed once in 10^11 times.
const DECISIONS: u32 = 300;

/// The settings that the real one is started with.
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

/// The core with all that the API server has.
pub(super) struct Ours {
    proxy: Proxier,
    now: Instant,
    rng: SplitMix64,
}

impl Ours {
    pub(super) async fn read(cluster: &Cluster, config: Config) -> Self {
        let (client, all) = (cluster.client(), ListParams::default());
        let mut proxy = Proxier::new(config);
        for node in Api::<v1::Node>::all(client.clone()).list(&all).await.unwrap() {
            proxy.apply_node(&with_links(&node));
        }
        for service in Api::<v1::Service>::all(client.clone()).list(&all).await.unwrap() {
            proxy.apply_service(&Service::from(&service));
        }
        for slice in Api::<discovery::EndpointSlice>::all(client).list(&all).await.unwrap() {
            proxy.apply_endpoint_slice(&EndpointSlice::from(&slice));
        }
        let (now, mut rng) = (Instant::now(), SplitMix64::with_seed(1));
        proxy.sync(now, &mut rng);
        Self { proxy, now, rng }
    }

    /// What becomes of a flow now, from what was decided before.
    pub(super) fn decide(&mut self, sent: &Sent, now: Instant) -> (Option<SocketAddr>, Choice) {
        let flow = flow(sent);
        let snapshot = self.proxy.snapshot().clone();
        let verdict = snapshot.decide(&flow, now, &mut self.rng);
        let matched = verdict.matched().unwrap_or_else(|| panic!("{sent}: {verdict}"));
        (verdict.endpoint(), matched.choice)
    }

    /// All that can become of a flow whose client is not remembered, and why.
    pub(super) fn possible(&mut self, sent: &Sent) -> (BTreeSet<Outcome>, String) {
        let flow = flow(sent);
        let snapshot = self.proxy.snapshot().clone();
        let mut outcomes = BTreeSet::new();
        for _ in 0..DECISIONS {
            self.now += DAY;
            outcomes.insert(Outcome::of_verdict(&snapshot.decide(&flow, self.now, &mut self.rng), sent));
        }
        self.now += DAY;
        (outcomes, snapshot.decide(&flow, self.now, &mut self.rng).to_string())
    }
}

fn flow(sent: &Sent) -> Flow<'static> {
    let source = SocketAddr::new(sent.source.ip().into(), 40_000);
    let protocol = match sent.protocol {
        world::Protocol::Tcp => Protocol::Tcp,
        world::Protocol::Udp => Protocol::Udp,
    };
    Flow::new(protocol, source, sent.to)
}

/// The addresses of the links to pods are the node's as well; the API knows nothing of them.
pub(super) fn with_links(node: &v1::Node) -> Node {
    let mut node = Node::from(node);
    node.addresses.push(GATEWAY.to_owned());
    node
}
