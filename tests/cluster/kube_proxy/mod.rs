//! The real kube-proxy and our core of it, given the same clusters; flows are sent through the kernel that the real one
//! has programmed, and must fare as ours says.

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
    bench::{Bench, Compared, Mismatch, manifest},
    generate::Generator,
    outcome::Outcome,
    shrink::shrink,
    world::World,
};
use crate::harness::{Options, ProxyMode, on_cluster};

/// So many Services are there at first, and so many flows are sent to each, each time.
const SERVICES: u8 = 40;
const EACH: usize = 10;

/// The first world, and changes of it.
const ROUNDS: usize = 3;

fn seed() -> u64 {
    std::env::var("DISCOVERY_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

/// Sends a flow a few times: which endpoint it gets is chance.
async fn shows(bench: &mut Bench, world: &World, mismatch: &Mismatch) -> Option<Mismatch> {
    bench.apply(world).await;
    let again = [mismatch.flow; 5];
    bench.compare(&again).await.mismatches.pop()
}

/// The smallest cluster that shows a mismatch, and what it shows.
async fn smallest(bench: &mut Bench, world: &World, mismatch: Mismatch) -> (World, Mismatch) {
    let mut last = mismatch;
    // The machine is less busy than with hundreds of flows, and most of what is tried agrees.
    bench.patience = Duration::from_secs(2);
    let smallest = shrink(world.clone(), async |world| match shows(bench, world, &last).await {
        Some(mismatch) => {
            last = mismatch;
            true
        }
        None => false,
    })
    .await;
    (smallest, last)
}

/// How often flows of each kind had each outcome.
fn tell(compared: &[Compared]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for (_, outcome) in compared.iter().flat_map(|compared| &compared.outcomes) {
        *counts.entry(outcome.kind()).or_default() += 1;
    }
    counts
}

/// Settings of kube-proxy, as flags and as ours are told.
struct Settings {
    flags: &'static [&'static str],
    of_ours: fn(Config) -> Config,
}

const DEFAULT: Settings = Settings { flags: &[], of_ours: |config| config };

/// All traffic to cluster IPs is masqueraded; node ports are not at the address of the links to pods, and not on
/// loopback, which one range has.
const OTHERS: Settings = Settings {
    flags: &["--masquerade-all", "--nodeport-addresses=172.31.255.0/24,127.0.0.0/8"],
    of_ours: |config| {
        let ranges = ["172.31.255.0/24", "127.0.0.0/8"].map(|range| Cidr::parse(range).unwrap());
        config.with_masquerade_all(true).with_node_port_addresses(ranges)
    },
};

fn the_kernel_does_as_ours_says(mode: ProxyMode, settings: &Settings) {
    let config = (settings.of_ours)(ours::config(mode));
    on_cluster(Options::default().proxy(mode).proxy_flags(settings.flags), move |cluster| async move {
        let seed = seed();
        let begun = Instant::now();
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
            let flows = flows::of(&world, &bench.network, EACH, &mut rng);
            let mut compared = bench.compare(&flows).await;
            if !compared.mismatches.is_empty() {
                println!("seed {seed}, round {round}: {} mismatches", compared.mismatches.len());
                compared.mismatches.iter().for_each(|mismatch| println!("{mismatch}"));
                let first = compared.mismatches.swap_remove(0);
                let (smallest, last) = smallest(&mut bench, &world, first).await;
                let manifest = manifest(&smallest);
                panic!("set DISCOVERY_SEED={seed} to see it again; the smallest cluster:\n{manifest}\n{last}");
            }
            let (somebody, nobody) = health::compare(&bench, &world).await;
            (checks.0, checks.1) = (checks.0 + somebody, checks.1 + nobody);
            all.push(compared);
        }
        let counts = tell(&all);
        let flows: usize = counts.values().sum();
        println!("{mode:?}, seed {seed}: {flows} flows in {:.1} s: {counts:?}", begun.elapsed().as_secs_f64());
        println!("health checks: {} of Services with endpoints here, {} without", checks.0, checks.1);
        assert!(flows >= 500, "{flows} flows");
        assert!(checks.0 > 0 && checks.1 > 0, "{checks:?}");
        for kind in ["a pod that sees the client", "a pod that sees the node", "refused", "silence", "untouched"] {
            assert!(counts.get(kind).is_some_and(|count| *count >= 10), "{kind}: {counts:?}");
        }
    });
}

#[test]
fn nftables_does_as_ours_says() {
    the_kernel_does_as_ours_says(ProxyMode::Nftables, &DEFAULT);
}

#[test]
fn iptables_does_as_ours_says() {
    the_kernel_does_as_ours_says(ProxyMode::Iptables, &DEFAULT);
}

#[test]
fn nftables_with_other_settings_does_as_ours_says() {
    the_kernel_does_as_ours_says(ProxyMode::Nftables, &OTHERS);
}

#[test]
fn iptables_with_other_settings_does_as_ours_says() {
    the_kernel_does_as_ours_says(ProxyMode::Iptables, &OTHERS);
}

/// With one setting of ours wrong, the comparison finds it, and a cluster with nothing but what shows it.
#[test]
fn a_planted_mistake_is_found_and_shrunk() {
    on_cluster(Options::default(), |cluster| async move {
        let wrong = ours::config(ProxyMode::Nftables).with_masquerade_all(true);
        let mut bench = Bench::new(cluster, wrong, 4).await;
        let world = Generator::new(5, bench.network.pods.clone()).world(4);
        bench.apply(&world).await;
        let flows = flows::of(&world, &bench.network, usize::MAX, &mut SplitMix64::with_seed(5));
        let mismatches = bench.compare(&flows).await.mismatches;
        println!("{} of {} flows", mismatches.len(), flows.len());
        let sees = |one: &Mismatch| matches!(one.real, Outcome::Pod { masqueraded: false, .. });
        let first = mismatches.into_iter().find(sees).expect("a pod that sees the client");
        let (smallest, last) = smallest(&mut bench, &world, first).await;
        println!("{}{last}", manifest(&smallest));
        let [service] = smallest.services.as_slice() else { panic!("{smallest:?}") };
        assert!(service.endpoints.len() == 1 && service.ports.len() == 1 && !service.internal_local, "{service:?}");
        assert!(matches!(last.real, Outcome::Pod { masqueraded: false, .. }), "{last}");
    });
}
