//! A proxy with its own clock and random numbers, and short constructors for objects.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use discovery_core::policy::SplitMix64;

use crate::{
    Action, Changes, Cidr, Config, Flow, IptablesConfig, IpvsConfig, LocalDetector, Mode, Proxier, Scheduler, Snapshot,
    Verdict, object::*,
};

/// The start of all tests' time. Its value does not matter.
#[expect(clippy::disallowed_methods, reason = "there is no other way to create an `Instant`")]
pub(crate) fn epoch() -> Instant {
    Instant::now()
}

pub(super) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(super) fn iptables() -> Mode {
    Mode::Iptables(IptablesConfig::default())
}

pub(super) fn ipvs(scheduler: Scheduler) -> Mode {
    Mode::Ipvs(IpvsConfig::default().with_scheduler(scheduler))
}

pub(super) fn all_modes() -> [Mode; 4] {
    [Mode::Userspace, iptables(), ipvs(Scheduler::RoundRobin), Mode::Nftables]
}

/// Pods are 10.244.0.0/16, the node is 192.168.0.1, Services are 10.96.0.0/12.
pub(super) fn config(mode: Mode) -> Config {
    Config::new(IpFamily::V4, mode)
        .with_node_name("here")
        .with_detector(LocalDetector::Cidr(cidr("10.244.0.0/16")))
        .with_service_cidrs([cidr("10.96.0.0/12")])
}

pub(super) fn cidr(text: &str) -> Cidr {
    Cidr::parse(text).expect("a range")
}

pub(super) const POD: &str = "10.244.1.7:40000";
pub(super) const NODE: &str = "192.168.0.1:40000";
pub(super) const OUTSIDE: &str = "203.0.113.9:40000";

pub(super) struct World {
    pub(super) proxy: Proxier,
    pub(super) now: Instant,
    pub(super) rng: SplitMix64,
}

impl World {
    pub(super) fn new(mode: Mode) -> Self {
        Self::with(config(mode))
    }

    pub(super) fn with(config: Config) -> Self {
        let mut proxy = Proxier::new(config);
        proxy.apply_node(&node());
        Self { proxy, now: epoch(), rng: SplitMix64::with_seed(7) }
    }

    pub(super) fn service(mut self, service: &Service) -> Self {
        self.proxy.apply_service(service);
        self.sync();
        self
    }

    pub(super) fn slice(mut self, slice: &EndpointSlice) -> Self {
        self.proxy.apply_endpoint_slice(slice);
        self.sync();
        self
    }

    pub(super) fn sync(&mut self) -> Changes {
        self.proxy.sync(self.now, &mut self.rng)
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    pub(super) fn flow(&mut self, protocol: Protocol, from: &str, to: &str) -> Verdict<'static> {
        let flow = Flow::new(protocol, from.parse().expect("a source"), to.parse().expect("a destination"));
        // The verdict borrows from the snapshot, which is leaked for the time of the tests.
        let snapshot: &'static Arc<Snapshot> = Box::leak(Box::new(self.proxy.snapshot().clone()));
        snapshot.decide(&flow, self.now, &mut self.rng)
    }

    pub(super) fn tcp(&mut self, from: &str, to: &str) -> Verdict<'static> {
        self.flow(Protocol::Tcp, from, to)
    }

    /// The outcome as upstream's tests write it: `1.2.3.4:5`, `1.2.3.4:5 masqueraded`, `reject`, `drop`, or empty.
    pub(super) fn outcome(&mut self, from: &str, to: &str) -> String {
        outcome(&self.tcp(from, to))
    }

    /// The endpoints that 200 flows go to, in order.
    pub(super) fn reached(&mut self, from: &str, to: &str) -> Vec<String> {
        let reached = (0..200).filter_map(|_| self.tcp(from, to).endpoint()).map(|addr| addr.to_string());
        reached.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
    }

    pub(super) fn to(&mut self, from: &str, to: &str) -> String {
        self.tcp(from, to).endpoint().map_or_else(String::new, |addr| addr.to_string())
    }
}

pub(super) fn outcome(verdict: &Verdict<'_>) -> String {
    match verdict.action {
        Action::Endpoint { addr, masquerade: false } => addr.to_string(),
        Action::Endpoint { addr, masquerade: true } => format!("{addr} masqueraded"),
        Action::Reject => "reject".into(),
        Action::Drop => "drop".into(),
        Action::Untouched => String::new(),
    }
}

pub(super) fn node() -> Node {
    Node {
        name: "here".into(),
        labels: [(ZONE_LABEL.into(), "zone-a".into())].into(),
        addresses: vec!["192.168.0.1".into(), "172.16.0.1".into(), "fd00::1".into()],
    }
}

/// `default/web` at 10.96.0.10:80.
pub(super) fn service() -> Service {
    named("web", "10.96.0.10")
}

pub(super) fn named(name: &str, cluster_ip: &str) -> Service {
    Service {
        namespace: "default".into(),
        name: name.into(),
        cluster_ip: cluster_ip.into(),
        cluster_ips: vec![cluster_ip.into()],
        ports: vec![ServicePort { port: 80, ..ServicePort::default() }],
        ..Service::default()
    }
}

/// `default/web` with a node port, an external IP and a load balancer address.
pub(super) fn exposed() -> Service {
    Service {
        service_type: ServiceType::LoadBalancer,
        ports: vec![ServicePort { port: 80, node_port: 3001, ..ServicePort::default() }],
        external_ips: vec!["198.51.100.7".into()],
        load_balancer_ingress: vec![LoadBalancerIngress { ip: "198.51.100.8".into(), ..Default::default() }],
        ..service()
    }
}

pub(super) const CLUSTER_IP: &str = "10.96.0.10:80";
pub(super) const EXTERNAL_IP: &str = "198.51.100.7:80";
pub(super) const LOAD_BALANCER: &str = "198.51.100.8:80";
pub(super) const NODE_PORT: &str = "192.168.0.1:3001";

pub(super) fn sticky(seconds: i32) -> Service {
    Service { session_affinity: Affinity::ClientIp, session_affinity_timeout: Some(seconds), ..service() }
}

/// A slice of `default/web` with port 8080 and these endpoints.
pub(super) fn slice(endpoints: impl IntoIterator<Item = SliceEndpoint>) -> EndpointSlice {
    slice_of("web", "web-1", endpoints)
}

pub(super) fn slice_of(service: &str, name: &str, endpoints: impl IntoIterator<Item = SliceEndpoint>) -> EndpointSlice {
    EndpointSlice {
        namespace: "default".into(),
        name: name.into(),
        labels: [(SERVICE_NAME_LABEL.into(), service.into())].into(),
        ports: vec![SlicePort { port: Some(8080), ..SlicePort::default() }],
        endpoints: endpoints.into_iter().collect(),
        ..EndpointSlice::default()
    }
}

/// An endpoint on another node.
pub(super) fn pod(ip: &str) -> SliceEndpoint {
    SliceEndpoint { addresses: vec![ip.into()], node_name: Some("there".into()), ..SliceEndpoint::default() }
}

pub(super) fn local(ip: &str) -> SliceEndpoint {
    SliceEndpoint { node_name: Some("here".into()), ..pod(ip) }
}

pub(super) fn with(endpoint: SliceEndpoint, ready: bool, serving: bool, terminating: bool) -> SliceEndpoint {
    let conditions = Conditions { ready: Some(ready), serving: Some(serving), terminating: Some(terminating) };
    SliceEndpoint { conditions, ..endpoint }
}

pub(super) fn unready(endpoint: SliceEndpoint) -> SliceEndpoint {
    with(endpoint, false, false, false)
}

/// An endpoint that serves while terminating.
pub(super) fn closing(endpoint: SliceEndpoint) -> SliceEndpoint {
    with(endpoint, false, true, true)
}

pub(super) fn pods(n: u8) -> Vec<SliceEndpoint> {
    (1..=n).map(|last| pod(&format!("10.244.2.{last}"))).collect()
}

/// The chi-square statistic against equal counts. It is about as large as its degrees of freedom if they are equal.
pub(super) fn chi_square(counts: &[u32]) -> f64 {
    let expected = counts.iter().sum::<u32>() as f64 / counts.len() as f64;
    counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum()
}
