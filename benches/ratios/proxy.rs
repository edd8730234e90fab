//! The kube-proxy core: a decision, a change, a start, a reader during changes, and the memory of a Service.
//!
//! No other library decides flows in-process. The peer is a `HashMap` from address to a list of endpoints, the least
//! that any implementation could do.

mod modes;

use std::{
    collections::HashMap,
    hint::black_box,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use allocation_counter::measure;
use arc_swap::ArcSwap;
use discovery_core::policy::{Rng, SplitMix64};
use discovery_proxy::{Config, Flow, IptablesConfig, Mode, Proxier, Snapshot, object::*};

use crate::{
    measure::{compare, median, opt_out_returning, side},
    table::{Limit, Row, Table, Unit},
};

/// The limit is 150 ns on a machine on which the bare `HashMap` takes 60.
const DECISION: Limit = Limit::Cost { most: 150.0, ratio: 2.5 };

pub fn run(table: &mut Table) {
    decisions(table);
    changes(table);
    start(table);
    reader(table);
    affinity(table);
    memory(table);
    modes::run(table);
}

fn decisions(table: &mut Table) {
    let mut costs = Vec::new();
    for services in [1, 1_000, 30_000] {
        let snapshot = cluster(Mode::Nftables, services, 10).snapshot().clone();
        let bare: HashMap<SocketAddr, Vec<SocketAddr>> =
            (0..services).map(|n| (flow_to(n).destination, vec![flow_to(n).source; 10])).collect();
        let (now, mut rng, mut other) = (Instant::now(), SplitMix64::with_seed(2), SplitMix64::with_seed(2));
        let [ours, theirs] = compare([
            side(|| {
                let flow = flow_to(rng.below(services));
                snapshot.decide(&flow, now, &mut rng).endpoint()
            }),
            side(|| {
                let flow = flow_to(other.below(services));
                bare.get(&flow.destination).and_then(|list| list.get(other.below(list.len())).copied())
            }),
        ]);
        let limit = if services == 30_000 { DECISION } else { Limit::None };
        let services = if services == 1 { "1 Service".to_owned() } else { format!("{services} Services") };
        table.add(Row::costs(format!("proxy: decision, {services} x 10"), ours, "HashMap", theirs, limit));
        costs.push((ours.ns, theirs.ns));
    }
    if let [(least, bare_least), .., (most, bare_most)] = costs[..] {
        let growth = ("HashMap", bare_most / bare_least);
        let name = "proxy: decision, 30 000 Services / 1";
        table.add(Row::plain(name, Unit::Times, most / least, Some(growth), Limit::Cost { most: 4.0, ratio: 1.0 }));
    }
}

/// The time from the arrival of one slice to the published snapshot.
fn changes(table: &mut Table) {
    let sizes = [1_000, 50_000];
    let mut proxies = sizes.map(|services| cluster(Mode::Nftables, services, 5));
    let mut rng = SplitMix64::with_seed(2);
    let mut costs = [Vec::new(), Vec::new()];
    // Keep each snapshot until the next is published, as a reader would.
    let mut held = proxies.each_ref().map(|proxy| proxy.snapshot().clone());
    // A Service alternates between five and six endpoints, so that every update is a change.
    let mut sixth = sizes.map(|services| vec![false; services]);
    for turn in 0..4_000 {
        let at = turn % 2;
        let n = rng.below(sizes[at]);
        sixth[at][n] = !sixth[at][n];
        let slice = endpoints_of(n, 5 + usize::from(sixth[at][n]));
        let start = Instant::now();
        proxies[at].apply_endpoint_slice(&slice);
        held[at] = proxies[at].sync(start, &mut rng).snapshot;
        costs[at].push(start.elapsed().as_nanos() as f64);
        assert_eq!(held[at].version() as usize, turn / 2 + 2, "every change is published");
    }
    let [few, many] = costs.map(median);
    table.add(Row::plain("proxy: one slice, 50 000 Services x 5", Unit::Nanos, many, None, Limit::AtMost(1e5)));
    table.add(Row::plain(
        "proxy: one slice, 50 000 Services / 1000",
        Unit::Times,
        many / few,
        None,
        Limit::AtMost(2.0),
    ));
}

fn start(table: &mut Table) {
    let objects: Vec<_> = (0..50_000).map(|n| (service(n), endpoints_of(n, 5))).collect();
    let load = || {
        let start = Instant::now();
        let mut proxy = Proxier::new(Config::new(IpFamily::V4, Mode::Nftables));
        for (service, slice) in &objects {
            proxy.apply_service(service);
            proxy.apply_endpoint_slice(slice);
        }
        let changes = proxy.sync(start, &mut SplitMix64::with_seed(1));
        assert_eq!(changes.touched.len(), objects.len());
        start.elapsed().as_nanos() as f64
    };
    let took = median((0..5).map(|_| load()).collect());
    table.add(Row::plain("proxy: start with 50 000 Services x 5", Unit::Nanos, took, None, Limit::AtMost(1e9)));
}

/// A reader's decisions, without changes and while another thread publishes one change after another.
fn reader(table: &mut Table) {
    const SERVICES: usize = 30_000;
    let mut proxy = cluster(Mode::Nftables, SERVICES, 10);
    let current = ArcSwap::new(proxy.snapshot().clone());
    let (mut idle, mut busy, mut published) = (Vec::new(), Vec::new(), 0);
    let mut eleventh = vec![false; SERVICES];
    // Both take turns, and the best round of each counts: busy neighbors can only make a round slower.
    for _ in 0..15 {
        idle.push(p99(&current, SERVICES));
        let done = AtomicBool::new(false);
        busy.push(std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut rng = SplitMix64::with_seed(3);
                while !done.load(Ordering::Relaxed) {
                    let n = rng.below(SERVICES);
                    eleventh[n] = !eleventh[n];
                    proxy.apply_endpoint_slice(&endpoints_of(n, 10 + usize::from(eleventh[n])));
                    current.store(proxy.sync(Instant::now(), &mut rng).snapshot);
                    published += 1;
                }
            });
            let p99 = p99(&current, SERVICES);
            done.store(true, Ordering::Relaxed);
            p99
        }));
    }
    assert!(published > 100, "only {published} changes were published");
    let (idle, busy) = (least(idle), least(busy));
    let alone = Some(("alone", idle));
    table.add(Row::plain("proxy: reader's p99 during changes", Unit::Nanos, busy, alone, Limit::None));
    let name = "proxy: reader's p99 during changes / alone";
    table.add(Row::plain(name, Unit::Times, busy / idle, None, Limit::AtMost(2.0)));
}

fn least(values: Vec<f64>) -> f64 {
    values.into_iter().fold(f64::INFINITY, f64::min)
}

/// The 99th percentile of decisions, in batches of 16, so that reading the clock does not matter.
fn p99(current: &ArcSwap<Snapshot>, services: usize) -> f64 {
    const BATCH: u32 = 16;
    opt_out_returning(|| {
        let (now, mut rng) = (Instant::now(), SplitMix64::with_seed(4));
        let mut once = || {
            let start = Instant::now();
            for _ in 0..BATCH {
                let flow = flow_to(rng.below(services));
                black_box(current.load().decide(&flow, now, &mut rng).endpoint());
            }
            start.elapsed().as_nanos() as f64 / f64::from(BATCH)
        };
        let mut costs: Vec<f64> = (0..40_000).map(|_| once()).collect();
        costs.sort_by(f64::total_cmp);
        costs[costs.len() / 100 * 99]
    })
}

fn affinity(table: &mut Table) {
    const CLIENTS: usize = 100_000;
    let unlimited = Mode::Iptables(IptablesConfig::default().with_recent_limit(None));
    for (name, mode) in [("nftables", Mode::Nftables), ("iptables", unlimited)] {
        let mut proxy = Proxier::new(Config::new(IpFamily::V4, mode));
        proxy.apply_service(&Service { session_affinity: Affinity::ClientIp, ..service(0) });
        proxy.apply_endpoint_slice(&endpoints_of(0, 10));
        let (now, mut rng) = (Instant::now(), SplitMix64::with_seed(2));
        let snapshot = proxy.sync(now, &mut rng).snapshot;
        let from = |n: usize| Flow::tcp(client(n), flow_to(0).destination);
        for n in 0..CLIENTS {
            black_box(snapshot.decide(&from(n), now, &mut rng));
        }
        let [hit] = compare([side(|| {
            let flow = from(rng.below(CLIENTS));
            snapshot.decide(&flow, now + Duration::from_secs(1), &mut rng).endpoint()
        })]);
        let name = format!("proxy: affinity hit, 100 000 clients, {name}");
        table.add(Row::plain(name, Unit::Nanos, hit.ns, None, Limit::AtMost(300.0)));
    }
}

fn memory(table: &mut Table) {
    for endpoints in [1, 10] {
        const SERVICES: usize = 10_000;
        let mut proxy = None;
        let all = measure(|| proxy = Some(cluster(Mode::Nftables, SERVICES, endpoints)));
        drop(proxy);
        let plural = if endpoints == 1 { "" } else { "s" };
        let name = format!("proxy: memory per Service with {endpoints} endpoint{plural}");
        let each = all.bytes_current as f64 / SERVICES as f64;
        table.add(Row::plain(name, Unit::Bytes, each, None, Limit::None));
    }
}

fn cluster(mode: Mode, services: usize, endpoints: usize) -> Proxier {
    let mut proxy = Proxier::new(Config::new(IpFamily::V4, mode));
    for n in 0..services {
        proxy.apply_service(&service(n));
        proxy.apply_endpoint_slice(&endpoints_of(n, endpoints));
    }
    proxy.sync(Instant::now(), &mut SplitMix64::with_seed(1));
    proxy
}

fn octets(n: usize) -> [u8; 3] {
    [(n >> 16) as u8, (n >> 8) as u8, n as u8]
}

fn service(n: usize) -> Service {
    let [a, b, c] = octets(n);
    Service {
        namespace: "default".into(),
        name: format!("svc-{n}"),
        cluster_ip: format!("10.{}.{b}.{c}", 96 + a),
        ports: vec![ServicePort { port: 80, ..ServicePort::default() }],
        ..Service::default()
    }
}

fn endpoints_of(n: usize, count: usize) -> EndpointSlice {
    let [_, b, c] = octets(n);
    let endpoint = |at: usize| SliceEndpoint {
        addresses: vec![format!("10.{}.{b}.{c}", 128 + at)],
        node_name: Some("node-b".into()),
        ..SliceEndpoint::default()
    };
    EndpointSlice {
        namespace: "default".into(),
        name: format!("svc-{n}-1"),
        labels: [(SERVICE_NAME_LABEL.into(), format!("svc-{n}"))].into(),
        ports: vec![SlicePort { port: Some(8080), ..SlicePort::default() }],
        endpoints: (0..count).map(endpoint).collect(),
        ..EndpointSlice::default()
    }
}

fn flow_to(n: usize) -> Flow<'static> {
    let [a, b, c] = octets(n);
    Flow::tcp(([10, 244, 1, 7], 40_000).into(), ([10, 96 + a, b, c], 80).into())
}

fn client(n: usize) -> SocketAddr {
    let [a, b, c] = octets(n);
    ([10, 200 + a, b, c], 40_000).into()
}
