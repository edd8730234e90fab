//! One Service with many endpoints, of which one after the other is replaced, in each mode: what a change costs, and
//! what it costs a reader of the same Service meanwhile.

use std::{
    hint::black_box,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use discovery_core::policy::{Rng, SplitMix64};
use discovery_proxy::{
    Config, Flow, IptablesConfig, IpvsConfig, Maglev, Mode, Proxier, Scheduler, Snapshot, object::*,
};

use crate::{
    measure::{median, opt_out_returning},
    table::{Limit, Row, Table, Unit},
};

/// What the slice controller puts into a slice by default.
const PER_SLICE: usize = 100;
/// The clients that a Service with affinity knows.
const CLIENTS: usize = 100_000;
const NODE: &str = "here";

pub fn run(table: &mut Table) {
    for case in cases() {
        for endpoints in [10, 1_000, 5_000] {
            let limit = if endpoints == 5_000 { Limit::AtMost(1e6) } else { Limit::None };
            let took = replaced(&case, endpoints, PER_SLICE);
            let name = format!("proxy: one of {endpoints} endpoints replaced, {}", case.name);
            table.add(Row::plain(name, Unit::Nanos, took, None, limit));
        }
    }
    if let Some(plain) = cases().first() {
        let took = replaced(plain, 5_000, 5_000);
        let name = format!("proxy: one of 5000 endpoints replaced, in one slice, {}", plain.name);
        table.add(Row::plain(name, Unit::Nanos, took, None, Limit::AtMost(1e6)));
    }
    for case in cases() {
        let (idle, busy) = reader(&case, 5_000);
        let name = format!("proxy: reader's p99.9 while one of 5000 after the other is replaced, {}", case.name);
        table.add(Row::plain(name.clone(), Unit::Nanos, busy, Some(("alone", idle)), Limit::None));
        table.add(Row::plain(format!("{name} / alone"), Unit::Times, busy / idle, None, Limit::AtMost(10.0)));
    }
}

struct Case {
    name: &'static str,
    mode: Mode,
    affinity: bool,
    /// External policy `Local`, with all endpoints on this node.
    local: bool,
}

fn cases() -> Vec<Case> {
    let case = |name, mode| Case { name, mode, affinity: false, local: false };
    let ipvs = |scheduler| Mode::Ipvs(IpvsConfig::default().with_scheduler(scheduler));
    let unlimited = Mode::Iptables(IptablesConfig::default().with_recent_limit(None));
    vec![
        case("nftables", Mode::Nftables),
        Case { local: true, ..case("nftables, policy Local, all here", Mode::Nftables) },
        Case { affinity: true, ..case("nftables, affinity of 100 000 clients", Mode::Nftables) },
        Case { affinity: true, ..case("iptables, affinity of 100 000 clients", unlimited) },
        case("IPVS rr", ipvs(Scheduler::RoundRobin)),
        Case { affinity: true, ..case("IPVS rr, affinity of 100 000 clients", ipvs(Scheduler::RoundRobin)) },
        case("IPVS mh", ipvs(Scheduler::Maglev(Maglev::default()))),
        case("userspace", Mode::Userspace),
        Case { affinity: true, ..case("userspace, affinity of 100 000 clients", Mode::Userspace) },
    ]
}

/// A proxy with one Service, whose endpoints are replaced one after the other.
struct World {
    proxy: Proxier,
    slices: Vec<EndpointSlice>,
    rng: SplitMix64,
    replaced: usize,
}

impl World {
    fn new(case: &Case, endpoints: usize, per_slice: usize) -> Self {
        let config = Config::new(IpFamily::V4, case.mode.clone()).with_node_name(NODE);
        let mut proxy = Proxier::new(config);
        proxy.apply_node(&Node { name: NODE.into(), addresses: vec!["192.168.0.1".into()], ..Node::default() });
        proxy.apply_service(&service(case));
        let numbers: Vec<usize> = (0..endpoints).collect();
        let slices: Vec<_> =
            numbers.chunks(per_slice).enumerate().map(|(at, all)| slice(at, all, case.local)).collect();
        slices.iter().for_each(|slice| proxy.apply_endpoint_slice(slice));
        let mut rng = SplitMix64::with_seed(1);
        let (now, snapshot) = (Instant::now(), proxy.sync(Instant::now(), &mut rng).snapshot);
        if case.affinity {
            for n in 0..CLIENTS {
                black_box(snapshot.decide(&from(n), now, &mut rng));
            }
        }
        Self { proxy, slices, rng, replaced: 0 }
    }

    /// Replaces one endpoint; returns the time from the arrival of the slice to the published snapshot.
    fn replace_one(&mut self) -> (Duration, std::sync::Arc<Snapshot>) {
        let at = self.rng.below(self.slices.len());
        let slice = &mut self.slices[at];
        let endpoint = self.rng.below(slice.endpoints.len());
        slice.endpoints[endpoint].addresses = vec![address(100_000 + self.replaced)];
        self.replaced += 1;
        let start = Instant::now();
        self.proxy.apply_endpoint_slice(slice);
        let changes = self.proxy.sync(start, &mut self.rng);
        let took = start.elapsed();
        assert!(changes.published, "every change is published");
        (took, changes.snapshot)
    }
}

fn replaced(case: &Case, endpoints: usize, per_slice: usize) -> f64 {
    opt_out_returning(|| {
        let mut world = World::new(case, endpoints, per_slice);
        // Keep each snapshot until the next is published, as a reader would.
        let mut held = world.proxy.snapshot().clone();
        let times = (0..60).map(|_| {
            let (took, snapshot) = world.replace_one();
            held = snapshot;
            took.as_nanos() as f64
        });
        let times = times.collect();
        drop(held);
        median(times)
    })
}

/// The 99.9th percentile of decisions for the Service, without changes and with one change after the other.
fn reader(case: &Case, endpoints: usize) -> (f64, f64) {
    let mut world = World::new(case, endpoints, PER_SLICE);
    let current = ArcSwap::new(world.proxy.snapshot().clone());
    let (mut idle, mut busy, mut published) = (Vec::new(), Vec::new(), 0);
    for _ in 0..5 {
        idle.push(p999(&current));
        let done = AtomicBool::new(false);
        busy.push(std::thread::scope(|scope| {
            scope.spawn(|| {
                opt_out_returning(|| {
                    while !done.load(Ordering::Relaxed) {
                        current.store(world.replace_one().1);
                        published += 1;
                    }
                });
            });
            let p999 = p999(&current);
            done.store(true, Ordering::Relaxed);
            p999
        }));
    }
    assert!(published > 100, "only {published} changes were published");
    (super::least(idle), super::least(busy))
}

fn p999(current: &ArcSwap<Snapshot>) -> f64 {
    opt_out_returning(|| {
        let mut rng = SplitMix64::with_seed(4);
        let mut once = || {
            let flow = from(rng.below(CLIENTS));
            let start = Instant::now();
            black_box(current.load().decide(&flow, start, &mut rng).endpoint());
            start.elapsed().as_nanos() as f64
        };
        let mut costs: Vec<f64> = (0..200_000).map(|_| once()).collect();
        costs.sort_by(f64::total_cmp);
        costs[costs.len() / 1_000 * 999]
    })
}

fn service(case: &Case) -> Service {
    let affinity = if case.affinity { Affinity::ClientIp } else { Affinity::None };
    let policy = if case.local { TrafficPolicy::Local } else { TrafficPolicy::Cluster };
    let service_type = if case.local { ServiceType::NodePort } else { ServiceType::ClusterIp };
    let node_port = if case.local { 30_080 } else { 0 };
    Service {
        service_type,
        ports: vec![ServicePort { port: 80, node_port, ..ServicePort::default() }],
        session_affinity: affinity,
        external_traffic_policy: policy,
        ..super::service(0)
    }
}

fn slice(at: usize, numbers: &[usize], local: bool) -> EndpointSlice {
    let endpoint = |n: &usize| SliceEndpoint {
        addresses: vec![address(*n)],
        node_name: Some(if local { NODE.into() } else { "there".into() }),
        ..SliceEndpoint::default()
    };
    EndpointSlice {
        name: format!("svc-0-{at}"),
        endpoints: numbers.iter().map(endpoint).collect(),
        ..super::endpoints_of(0, 0)
    }
}

fn address(n: usize) -> String {
    let [a, b, c] = super::octets(n);
    format!("10.{}.{b}.{c}", 128 + a)
}

fn from(client: usize) -> Flow<'static> {
    Flow::tcp(super::client(client), super::flow_to(0).destination)
}
