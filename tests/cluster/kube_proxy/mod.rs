//! Compares the real kube-proxy with our core. Both get the same clusters. The tests send flows through the kernel,
//! which the real kube-proxy has programmed, and each flow has to end as our core decides.

mod affinity;
mod bench;
mod flows;
mod generate;
mod health;
mod latency;
mod network;
mod ours;
mod outcome;
mod send;
mod shares;
mod shrink;
mod stale;
mod watch;
mod world;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use discovery_core::policy::SplitMix64;

use discovery_proxy::{Cidr, Config};

use self::{
    bench::{Bench, Comparison, Mismatch, manifest},
    generate::Generator,
    outcome::Outcome,
    shrink::shrink,
    world::World,
};
use crate::harness::{Options, ProxyMode, on_cluster};

/// The number of Services in the first world.
const SERVICES: u8 = 40;
/// The number of flows that are sent to each Service in a round.
const FLOWS_EACH: usize = 10;

/// The number of rounds: the first world, then changes to it.
const ROUNDS: usize = 3;

fn seed() -> u64 {
    std::env::var("DISCOVERY_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

/// Sends the flow a few times, because the choice of the endpoint is random; returns a mismatch if there still is one.
async fn reproduce(bench: &mut Bench, world: &World, mismatch: &Mismatch) -> Option<Mismatch> {
    bench.apply(world).await;
    let again = [mismatch.flow; 5];
    bench.compare(&again).await.mismatches.pop()
}

/// The smallest cluster that still has the mismatch, with the mismatch in that cluster.
async fn smallest(bench: &mut Bench, world: &World, mismatch: Mismatch) -> (World, Mismatch) {
    let mut last = mismatch;
    // A shorter limit is enough: the machine is less busy than with hundreds of flows, and most candidates agree.
    bench.limit = Duration::from_secs(2);
    let smallest = shrink(world.clone(), async |world| match reproduce(bench, world, &last).await {
        Some(mismatch) => {
            last = mismatch;
            true
        }
        None => false,
    })
    .await;
    (smallest, last)
}

/// The number of flows with each kind of outcome.
fn count_outcomes(compared: &[Comparison]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for (_, outcome) in compared.iter().flat_map(|compared| &compared.outcomes) {
        *counts.entry(outcome.kind()).or_default() += 1;
    }
    counts
}

/// The same settings for the real kube-proxy, as flags, and for our core.
struct Settings {
    flags: &'static [&'static str],
    ours: fn(Config) -> Config,
}

const DEFAULT: Settings = Settings { flags: &[], ours: |config| config };

/// All traffic to cluster IPs is masqueraded. Node ports are served neither at the address of the links to pods nor on
/// loopback, although one of the ranges contains loopback.
const OTHERS: Settings = Settings {
    flags: &["--masquerade-all", "--nodeport-addresses=172.31.255.0/24,127.0.0.0/8"],
    ours: |config| {
        let ranges = ["172.31.255.0/24", "127.0.0.0/8"].map(|range| Cidr::parse(range).unwrap());
        config.with_masquerade_all(true).with_node_port_addresses(ranges)
    },
};

fn kernel_agrees_with_our_core(mode: ProxyMode, settings: &Settings) {
    let config = (settings.ours)(ours::config(mode));
    on_cluster(Options::default().proxy(mode).proxy_flags(settings.flags), move |cluster| async move {
        let seed = seed();
        let start = Instant::now();
        let mut bench = Bench::new(cluster, config, SERVICES).await;
        let mut generator = Generator::new(seed, bench.network.pods.clone());
        let mut rng = SplitMix64::with_seed(seed ^ 0x5eed);
        let mut world = generator.world(SERVICES);
        let mut all = Vec::new();
        let mut checks = (0, 0);
        for round in 0..ROUNDS {
            if round > 0 {
                world = generator.change(&world);
            }
            bench.apply(&world).await;
            let flows = flows::sample(&world, &bench.network, FLOWS_EACH, &mut rng);
            let mut compared = bench.compare(&flows).await;
            if !compared.mismatches.is_empty() {
                println!("seed {seed}, round {round}: {} mismatches", compared.mismatches.len());
                compared.mismatches.iter().for_each(|mismatch| println!("{mismatch}"));
                let first = compared.mismatches.swap_remove(0);
                let (smallest, last) = smallest(&mut bench, &world, first).await;
                let manifest = manifest(&smallest);
                panic!(
                    "kube-proxy and our core differ; set DISCOVERY_SEED={seed} to reproduce. The smallest cluster:\n\
                     {manifest}\n{last}"
                );
            }
            let (healthy, unhealthy) = health::compare(&bench, &world).await;
            (checks.0, checks.1) = (checks.0 + healthy, checks.1 + unhealthy);
            all.push(compared);
        }
        let counts = count_outcomes(&all);
        let flows: usize = counts.values().sum();
        println!("{mode:?}, seed {seed}: {flows} flows in {:.1} s: {counts:?}", start.elapsed().as_secs_f64());
        println!("health checks: {} for Services with local endpoints, {} for others", checks.0, checks.1);
        assert!(flows >= 500, "only {flows} flows");
        assert!(checks.0 > 0 && checks.1 > 0, "{checks:?}");
        for kind in ["a pod that sees the client", "a pod that sees the node", "refused", "no answer", "untouched"] {
            assert!(counts.get(kind).is_some_and(|count| *count >= 10), "{kind}: {counts:?}");
        }
    });
}

#[test]
fn nftables_agrees_with_our_core() {
    kernel_agrees_with_our_core(ProxyMode::Nftables, &DEFAULT);
}

#[test]
fn iptables_agrees_with_our_core() {
    kernel_agrees_with_our_core(ProxyMode::Iptables, &DEFAULT);
}

#[test]
fn nftables_with_other_settings_agrees_with_our_core() {
    kernel_agrees_with_our_core(ProxyMode::Nftables, &OTHERS);
}

#[test]
fn iptables_with_other_settings_agrees_with_our_core() {
    kernel_agrees_with_our_core(ProxyMode::Iptables, &OTHERS);
}

/// With one wrong setting in our core, the comparison finds the mismatch and reduces the cluster to what shows it.
#[test]
fn finds_and_shrinks_a_planted_mistake() {
    on_cluster(Options::default(), |cluster| async move {
        let wrong = ours::config(ProxyMode::Nftables).with_masquerade_all(true);
        let mut bench = Bench::new(cluster, wrong, 4).await;
        let world = Generator::new(5, bench.network.pods.clone()).world(4);
        bench.apply(&world).await;
        let flows = flows::sample(&world, &bench.network, usize::MAX, &mut SplitMix64::with_seed(5));
        let mismatches = bench.compare(&flows).await.mismatches;
        println!("{} of {} flows differ", mismatches.len(), flows.len());
        let sees = |one: &Mismatch| matches!(one.real, Outcome::Pod { masqueraded: false, .. });
        let first = mismatches.into_iter().find(sees).expect("a pod that sees the client");
        let (smallest, last) = smallest(&mut bench, &world, first).await;
        println!("{}{last}", manifest(&smallest));
        let [service] = smallest.services.as_slice() else { panic!("{smallest:?}") };
        assert!(service.endpoints.len() == 1 && service.ports.len() == 1 && !service.internal_local, "{service:?}");
        assert!(matches!(last.real, Outcome::Pod { masqueraded: false, .. }), "{last}");
    });
}
