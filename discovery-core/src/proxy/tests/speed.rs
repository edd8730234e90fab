//! A sketch of the costs, by hand: `cargo test --release -p discovery-core --no-default-features --lib
//! proxy::tests::speed -- --ignored --nocapture --test-threads 1`.

use std::{collections::HashMap, hint::black_box, net::SocketAddr, time::Instant};

use super::world::{config, epoch, iptables, named, pod, slice_of, sticky};
use crate::{
    policy::{Rng, SplitMix64},
    proxy::{Flow, IptablesConfig, Mode, Proxier, object::EndpointSlice},
};

fn cluster_ip(n: usize) -> String {
    format!("10.{}.{}.{}", 96 + n / 65_536, n / 256 % 256, n % 256)
}

fn endpoints_of(n: usize, count: usize) -> EndpointSlice {
    let name = format!("svc-{n}");
    slice_of(&name, &name, (0..count).map(|at| pod(&format!("10.{}.{}.{}", 128 + at, n / 256 % 256, n % 256))))
}

fn cluster(mode: Mode, services: usize, endpoints: usize) -> Proxier {
    let mut proxy = Proxier::new(config(mode));
    for n in 0..services {
        proxy.apply_service(&named(&format!("svc-{n}"), &cluster_ip(n)));
        proxy.apply_endpoint_slice(&endpoints_of(n, endpoints));
    }
    proxy.sync(epoch(), &mut SplitMix64::with_seed(1));
    proxy
}

fn quantiles(mut costs: Vec<u64>) -> [u64; 3] {
    costs.sort_unstable();
    [50, 90, 99].map(|percent| costs[(costs.len() - 1) * percent / 100])
}

/// Nanoseconds of each, in batches.
fn batches(batches: usize, size: usize, mut once: impl FnMut()) -> [u64; 3] {
    let batch = |_| {
        let start = epoch();
        (0..size).for_each(|_| once());
        (epoch() - start).as_nanos() as u64 / size as u64
    };
    quantiles((0..batches).map(batch).collect())
}

fn flow_to(n: usize) -> Flow<'static> {
    let ip = [10, 96 + (n >> 16) as u8, (n >> 8) as u8, n as u8];
    Flow::tcp(([10, 244, 1, 7], 40_000).into(), (ip, 80).into())
}

/// And beside it what any table of addresses and lists would cost on this machine.
#[test]
#[ignore = "a measurement"]
fn lookup_and_pick() {
    for services in [1, 1_000, 10_000, 30_000, 50_000] {
        let proxy = cluster(Mode::Nftables, services, 10);
        let (snapshot, now, mut rng) = (proxy.snapshot().clone(), epoch(), SplitMix64::with_seed(2));
        let table: HashMap<SocketAddr, Vec<SocketAddr>> =
            (0..services).map(|n| (flow_to(n).destination, vec![flow_to(n).source; 10])).collect();
        for turn in 0..2 {
            let ours = batches(4_000, 64, || {
                let flow = flow_to(rng.below(services));
                black_box(snapshot.decide(&flow, now, &mut rng).endpoint());
            });
            let bare = batches(4_000, 64, || {
                let flow = flow_to(rng.below(services));
                black_box(table.get(&flow.destination).and_then(|list| list.get(rng.below(list.len())).copied()));
            });
            let find = batches(4_000, 64, || {
                let flow = flow_to(rng.below(services));
                black_box(snapshot.lookup(&flow).map(|view| view.destination()));
            });
            println!(
                "{turn}: lookup and pick, {services} Services x 10: {ours:?} ns (p50, p90, p99), found {find:?}, bare {bare:?}"
            );
        }
    }
}

#[test]
#[ignore = "a measurement"]
fn one_change() {
    for services in [1_000, 50_000] {
        let mut proxy = cluster(Mode::Nftables, services, 5);
        let mut rng = SplitMix64::with_seed(2);
        let mut costs = Vec::new();
        let mut held = proxy.snapshot().clone();
        for turn in 0..2_000 {
            let slice = endpoints_of(rng.below(services), 5 + turn % 2);
            let start = epoch();
            proxy.apply_endpoint_slice(&slice);
            held = proxy.sync(start, &mut rng).snapshot;
            costs.push((epoch() - start).as_nanos() as u64);
        }
        drop(held);
        println!("one slice, {services} Services x 5: {:?} ns (p50, p90, p99)", quantiles(costs));
    }
}

#[test]
#[ignore = "a measurement"]
fn bulk_load() {
    let objects: Vec<_> =
        (0..50_000).map(|n| (named(&format!("svc-{n}"), &cluster_ip(n)), endpoints_of(n, 5))).collect();
    for mode in [Mode::Nftables, iptables(), super::world::ipvs(crate::proxy::Scheduler::RoundRobin), Mode::Userspace] {
        let start = epoch();
        let mut proxy = Proxier::new(config(mode.clone()));
        for (service, slice) in &objects {
            proxy.apply_service(service);
            proxy.apply_endpoint_slice(slice);
        }
        let applied = epoch() - start;
        let changes = proxy.sync(start, &mut SplitMix64::with_seed(1));
        println!("50 000 Services x 5, {mode:?}: {:?}, of which applying {applied:?}", epoch() - start);
        assert_eq!(changes.touched.len(), 50_000);
    }
}

#[test]
#[ignore = "a measurement"]
fn affinity_hit() {
    let unlimited = Mode::Iptables(IptablesConfig::default().with_recent_limit(None));
    for mode in [unlimited, Mode::Nftables, super::world::ipvs(crate::proxy::Scheduler::RoundRobin), Mode::Userspace] {
        let mut proxy = Proxier::new(config(mode.clone()));
        proxy.apply_service(&sticky(10_800));
        proxy.apply_endpoint_slice(&slice_of("web", "web", (1..11).map(|last| pod(&format!("10.244.2.{last}")))));
        let (now, mut rng) = (epoch(), SplitMix64::with_seed(2));
        let snapshot = proxy.sync(now, &mut rng).snapshot;
        let source = |n: usize| ([10, 245 + (n >> 16) as u8, (n >> 8) as u8, n as u8], 40_000).into();
        let to = "10.96.0.10:80".parse().unwrap();
        let ask = |n: usize, now: Instant, rng: &mut SplitMix64| snapshot.decide(&Flow::tcp(source(n), to), now, rng);
        (0..100_000).for_each(|n| {
            black_box(ask(n, now, &mut rng));
        });
        let cost = batches(4_000, 64, || {
            let n = rng.below(100_000);
            black_box(ask(n, now + std::time::Duration::from_millis(n as u64), &mut rng));
        });
        println!("affinity hit, 100 000 clients, {mode:?}: {cost:?} ns (p50, p90, p99)");
    }
}
