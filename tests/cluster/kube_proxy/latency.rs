//! The time from a write to the API until flows follow it, in the kernel and in our core.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use discovery_core::policy::{Rng as _, SplitMix64};
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::{
    bench::Bench,
    network::{Network, Source, TARGETS, TestFlow, node_ip},
    ours,
    outcome::Outcome,
    send::send,
    watch::{SnapshotWatch, leads_to},
    world::{NAMESPACE, Protocol, World},
};
use crate::{
    documentation,
    harness::{Cluster, Options, PATIENCE, ProxyMode, on_cluster},
};

/// The numbers of Services in the cluster.
const SIZES: [usize; 3] = [10, 1_000, 5_000];

/// The number of changes of each kind that are timed.
const CHANGES: usize = 15;

/// The time limit of one probe. Probes are sent one after the other until one reaches the expected pod.
const PROBE: Duration = Duration::from_millis(50);

/// How long a change took to become effective.
struct ChangeTimes {
    /// In the kernel.
    real: Duration,
    /// In our core, from the write on.
    ours: Duration,
    /// In our core, from the event on.
    core: Duration,
}

/// A Service with two of four pods; a change replaces the two.
struct NumberedService {
    at: usize,
    pods: [Ipv4Addr; 2],
}

impl NumberedService {
    fn addr(&self) -> SocketAddr {
        let (high, low) = (16 + self.at / 250, self.at % 250 + 1);
        SocketAddr::new(Ipv4Addr::new(10, 96, high as u8, low as u8).into(), 80)
    }

    fn wanted(&self) -> [SocketAddr; 2] {
        self.pods.map(|ip| SocketAddr::new(ip.into(), TARGETS[0]))
    }

    fn service(&self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"namespace": NAMESPACE, "name": format!("n{}", self.at)},
            "spec": {"clusterIP": self.addr().ip(), "ports": [{"port": 80, "targetPort": TARGETS[0]}]},
        })
    }

    fn slice(&self) -> Value {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "namespace": NAMESPACE, "name": format!("n{}", self.at),
                "labels": {
                    "kubernetes.io/service-name": format!("n{}", self.at),
                    "endpointslice.kubernetes.io/managed-by": "tests",
                },
            },
            "addressType": "IPv4",
            "ports": [{"name": "", "port": TARGETS[0], "protocol": "TCP"}],
            "endpoints": self.pods.map(|ip| json!({"addresses": [ip], "conditions": {"ready": true}})),
        })
    }
}

/// Sends flows from the node until one reaches one of these pods.
async fn lands(network: &Network, to: SocketAddr, wanted: &[SocketAddr]) -> Instant {
    let probe = TestFlow { protocol: Protocol::Tcp, source: Source::Node(node_ip()), to };
    let start = Instant::now();
    loop {
        if let [Outcome::Pod { addr, .. }] = send(network, &[(probe, PROBE)]).await.as_slice()
            && wanted.contains(addr)
        {
            return Instant::now();
        }
        assert!(start.elapsed() < PATIENCE, "{probe} did not reach one of {wanted:?} within {PATIENCE:?}");
        // Each probe leaves a conntrack entry behind, so do not send too many.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Writes objects, and times how long the kernel and our core take to follow.
async fn time(
    cluster: &Cluster,
    bench: &Bench,
    watch: &mut SnapshotWatch,
    service: &NumberedService,
    objects: &[Value],
) -> ChangeTimes {
    let (to, wanted) = (service.addr(), service.wanted());
    let start = Instant::now();
    let write = async {
        for object in objects {
            cluster.apply_object(object).await;
        }
    };
    let decides = watch.until(|snapshot| leads_to(snapshot, to, &wanted));
    let ((), real, ours) = tokio::join!(write, lands(&bench.network, to, &wanted), decides);
    ChangeTimes { real: real - start, ours: ours.published - start, core: ours.took() }
}

fn row(mode: ProxyMode, size: usize, change: &str, took: &[ChangeTimes]) -> String {
    let of = |pick: fn(&ChangeTimes) -> Duration| {
        let mut all: Vec<Duration> = took.iter().map(pick).collect();
        all.sort();
        (all[all.len() / 2], all[all.len() - 1])
    };
    let ms = |(p50, max): (Duration, Duration)| format!("{} / {} ms", p50.as_millis(), max.as_millis());
    let (real, ours, core) = (of(|took| took.real), of(|took| took.ours), of(|took| took.core));
    let core = format!("{:.2} / {:.2} ms", core.0.as_secs_f64() * 1e3, core.1.as_secs_f64() * 1e3);
    format!("| {mode:?} | {size} | {change} | {} | {} | {core} |\n", ms(real), ms(ours))
}

async fn rows(cluster: Arc<Cluster>, mode: ProxyMode, table: &Mutex<String>) {
    let mut bench = Bench::new(cluster.clone(), ours::config(mode), 1).await;
    let mut watch = SnapshotWatch::start(&cluster, ours::config(mode)).await;
    let mut rng = SplitMix64::with_seed(1);
    let pods = [[bench.network.pods[0], bench.network.pods[1]], [bench.network.pods[2], bench.network.pods[3]]];
    let mut present = 0;
    for size in SIZES {
        let start = Instant::now();
        let new = (present..size).map(|at| NumberedService { at, pods: pods[0] });
        let create = async |one: NumberedService| {
            cluster.create_object(&one.service()).await;
            cluster.create_object(&one.slice()).await;
        };
        stream::iter(new).for_each_concurrent(8, create).await;
        present = size;
        // Wait for the bench's marker.
        bench.apply(&World::default()).await;
        println!("{mode:?}: {size} Services after {:.0} s", start.elapsed().as_secs_f64());
        let (mut moved, mut added) = (Vec::new(), Vec::new());
        let mut pause = async || tokio::time::sleep(Duration::from_millis(rng.below(1_000) as u64)).await;
        for change in 0..CHANGES {
            pause().await;
            let one = NumberedService { at: size / 2, pods: pods[(change + 1) % 2] };
            moved.push(time(&cluster, &bench, &mut watch, &one, &[one.slice()]).await);
            pause().await;
            let one = NumberedService { at: 10_000 + SIZES.len() * change + size % 7, pods: pods[0] };
            added.push(time(&cluster, &bench, &mut watch, &one, &[one.service(), one.slice()]).await);
            for object in [one.slice(), one.service()] {
                cluster.delete_object(&object).await;
            }
        }
        // Restore the first pods.
        cluster.apply_object(&NumberedService { at: size / 2, pods: pods[0] }.slice()).await;
        for (change, took) in [("endpoints move", moved), ("a new Service", added)] {
            let row = row(mode, size, change, &took);
            print!("{row}");
            table.lock().unwrap().push_str(&row);
        }
    }
}

#[test]
#[ignore = "takes minutes: `just kube-proxy`"]
fn from_a_write_to_its_effect() {
    let mut table = String::from(
        "| mode | Services | change | kube-proxy, p50 / max | ours, p50 / max | of which the core |\n|---|---|---|---|---|---|\n",
    );
    for mode in [ProxyMode::Nftables, ProxyMode::Iptables] {
        let measured = Mutex::new(String::new());
        on_cluster(Options::default().proxy(mode), |cluster| rows(cluster, mode, &measured));
        write!(table, "{}", measured.into_inner().unwrap()).unwrap();
    }
    println!("{table}");
    documentation::write("kube-proxy.md", "latency", &table);
}
