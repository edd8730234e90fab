//! Compares CoreDNS with `FakeDns`: both get the same cluster and the same questions.

mod ask;
mod generate;
mod questions;
mod world;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use discovery_testing::{FakeDns, PodRecords, Service};
use serde_json::json;
use tokio::net::TcpStream;

use self::{ask::TcpClient, generate::Generator, world::World};
use crate::harness::{self, Cluster, Options, on_cluster};

/// Where CoreDNS forwards questions about names outside of the cluster: an address of the node.
const UPSTREAM: ([u8; 4], u16) = ([172, 31, 255, 1], 5300);

/// The time that CoreDNS has to catch up with the API.
const SYNC_TIME: Duration = Duration::from_secs(10);

/// A question and two different answers.
struct Difference {
    name: String,
    rtype: u16,
    real: ask::Answer,
    ours: ask::Answer,
}

/// Asks both until they agree on everything or [`SYNC_TIME`] is over; returns the number of questions and the
/// differences.
async fn compare(real: SocketAddr, ours: &FakeDns, world: &World) -> (usize, Vec<Difference>) {
    let (mut real, mut double) = (TcpClient::connect(real).await, TcpClient::connect(ours.addr()).await);
    let mut open: Vec<(String, u16)> = questions::all(world).into_iter().collect();
    let total = open.len();
    let start = Instant::now();
    loop {
        let mut differences = Vec::new();
        for (name, rtype) in open {
            let (real, ours) = (real.ask(&name, rtype).await, double.ask(&name, rtype).await);
            if real != ours {
                differences.push(Difference { name, rtype, real, ours });
            }
        }
        if differences.is_empty() || start.elapsed() > SYNC_TIME {
            return (total, differences);
        }
        open = differences.into_iter().map(|difference| (difference.name, difference.rtype)).collect();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Creates the objects of a world in a cluster. No kubelet runs its pods, so their status is written here.
async fn declare(cluster: &Cluster, world: &World) {
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "nowhere"}});
    cluster.apply_object(&node).await;
    for object in world.objects() {
        cluster.apply_object(&object).await;
        if object["kind"] == "Pod" {
            cluster.apply_status(&object).await;
        }
    }
}

/// Declares the Service that the harness puts in front of CoreDNS, and the name in the Corefile.
fn declare_front(ours: &FakeDns) {
    ours.apply(Service::cluster_ip("kube-system", "kube-dns").ip(harness::VIRTUAL.ip()).udp_port("dns", 53));
    ours.fronted_by("kube-system", "kube-dns");
    for ip in harness::IN_COREFILE {
        ours.record(questions::IN_COREFILE, ip);
    }
}

fn seeds() -> Vec<u64> {
    match std::env::var("DISCOVERY_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => vec![seed],
        None => vec![1, rand_seed()],
    }
}

/// A seed that differs from run to run. The test prints it.
fn rand_seed() -> u64 {
    use std::hash::BuildHasher as _;
    std::hash::RandomState::new().hash_one(0) % 1_000_000
}

#[test]
fn core_dns_and_fake_dns_give_the_same_answers() {
    for seed in seeds() {
        on_cluster(Options::default().dual_stack(), move |cluster| async move { compare_on(&cluster, seed).await });
    }
}

async fn compare_on(cluster: &Cluster, seed: u64) {
    let mut generator = Generator::new(seed);
    let mut world = generator.world("ns", 3, 10);
    world.services.push(generator.large("ns-0", 30));
    declare(cluster, &world).await;
    let upstream = FakeDns::builder().address(UPSTREAM).cluster_domain("upstream.invalid").start().await.unwrap();
    world.declare_outside(&upstream);
    let ours = FakeDns::builder().pod_records(PodRecords::Insecure).start().await.unwrap();
    world.declare(&ours);
    declare_front(&ours);
    let (questions, differences) = compare(cluster.dns(), &ours, &world).await;
    println!("seed {seed}: {questions} questions, {} differences", differences.len());
    for Difference { name, rtype, real, ours } in &differences {
        println!("type {rtype} {name}\n    CoreDNS {real}\n    FakeDns {ours}");
    }
    assert!(differences.is_empty(), "CoreDNS and FakeDns differ; set DISCOVERY_SEED={seed} to reproduce");
    assert!(questions >= 2000, "only {questions} questions");
    assert_same_truncation(cluster.dns(), ours.addr(), &world).await;
}

/// A CoreDNS that starts while the API server does not answer.
#[test]
fn unsynced_core_dns_and_fake_dns_give_the_same_answers() {
    on_cluster(Options::default(), |cluster| async move {
        cluster.stop("apiserver");
        cluster.kill("coredns-0").await;
        cluster.start_again("coredns-0");
        let unsynced = async || cluster.log("coredns-0").iter().any(|line| line.contains("unsynced Kubernetes API"));
        cluster.until("an unsynced CoreDNS", unsynced).await;
        cluster.until("its port", async || TcpStream::connect(cluster.dns()).await.is_ok()).await;
        let ours = FakeDns::start().await.unwrap();
        ours.not_synced(true);
        for ip in harness::IN_COREFILE {
            ours.record(questions::IN_COREFILE, ip);
        }
        let (mut real, mut double) = (TcpClient::connect(cluster.dns()).await, TcpClient::connect(ours.addr()).await);
        for (name, rtype) in questions::unsynced() {
            let (real, ours) = (real.ask(&name, rtype).await, double.ask(&name, rtype).await);
            assert_eq!(real, ours, "type {rtype} {name}");
        }
        cluster.cont("apiserver");
    });
}

/// Asserts that both truncate the same answers over UDP.
async fn assert_same_truncation(real: SocketAddr, ours: SocketAddr, world: &World) {
    for service in world.services.iter().filter(|service| service.name.starts_with("large")) {
        let below = format!("{}.{}.svc.cluster.local.", service.name, service.namespace);
        for (rtype, name) in [(questions::A, below.clone()), (questions::SRV, format!("_http._tcp.{below}"))] {
            for room in [512, 1232, 4096] {
                let (real, ours) =
                    (ask::by_udp(real, &name, rtype, room).await, ask::by_udp(ours, &name, rtype, room).await);
                println!(
                    "{name} type {rtype} in {room} octets (truncated, length): CoreDNS {real:?}, FakeDns {ours:?}"
                );
                assert_eq!(real.0, ours.0);
            }
        }
    }
}
