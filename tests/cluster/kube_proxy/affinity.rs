//! `sessionAffinity: ClientIP`: how long the kernel remembers a client, and how many clients it remembers.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use discovery_proxy::Choice;

use super::{
    bench::Bench,
    network::{Network, Source, TestFlow},
    ours::{self, Ours},
    outcome::Outcome,
    send::{ANSWER_LIMIT, send},
    world::{Endpoint, Kind, Port, Protocol, ProxiedService, World},
};
use crate::harness::{Options, ProxyMode, on_cluster};

/// The affinity timeout in seconds.
const TIMEOUT: u32 = 4;

/// Sends flows and returns the pod that each of them reached.
async fn pods(network: &Network, flows: &[TestFlow]) -> Vec<SocketAddr> {
    let flows: Vec<_> = flows.iter().map(|flow| (*flow, ANSWER_LIMIT)).collect();
    let outcomes = send(network, &flows).await;
    let addr = |outcome| if let Outcome::Pod { addr, .. } = outcome { addr } else { panic!("{outcome}") };
    outcomes.into_iter().map(addr).collect()
}

/// The pod that each client last reached, and the counts of clients that stayed and that moved.
#[derive(Default)]
struct ClientHistory {
    last: BTreeMap<Source, SocketAddr>,
    /// When the last round of connections began.
    begun: Option<Instant>,
    /// Clients that our core remembers and that connected within the timeout, however slow the machine was.
    remembered: usize,
    /// Clients that our core does not remember and that reached another pod. One in four returns to its pod by chance.
    moved: usize,
}

impl ClientHistory {
    /// Connects all clients to one address of the Service at the same time.
    async fn connect(&mut self, network: &Network, ours: &mut Ours, flows: &[TestFlow]) {
        let now = Instant::now();
        let real = pods(network, flows).await;
        let begun = self.begun.replace(now);
        let in_time = begun.is_some_and(|begun| begun.elapsed() < Duration::from_secs(TIMEOUT.into()));
        for (flow, real) in flows.iter().zip(real) {
            let (_, choice) = ours.decide(flow, now);
            let last = self.last.insert(flow.source, real);
            match choice {
                Choice::Remembered if in_time => {
                    assert_eq!(last, Some(real), "{flow}: our core remembers the client, the kernel does not");
                    self.remembered += 1;
                }
                Choice::Remembered => {}
                Choice::Recorded => self.moved += usize::from(last.is_some_and(|last| last != real)),
                other => panic!("{flow}: {other}"),
            }
        }
    }
}

/// A Service with affinity. Its cluster IP and its external IP share the remembered clients.
fn service(bench: &Bench, pods: usize, timeout: u32) -> ProxiedService {
    ProxiedService {
        kind: Kind::NodePort,
        external_ip: true,
        affinity: Some(timeout),
        ports: vec![Port { protocol: Protocol::Tcp, number: 80, target: super::network::TARGETS[0] }],
        endpoints: bench.network.pods.iter().take(pods).map(|ip| Endpoint::at(*ip)).collect(),
        ..ProxiedService::plain(1)
    }
}

fn client_stays_until_our_core_forgets_it(mode: ProxyMode) {
    on_cluster(Options::default().proxy(mode), move |cluster| async move {
        let mut bench = Bench::new(cluster.clone(), ours::config(mode), 1).await;
        let world = World { services: vec![service(&bench, 4, TIMEOUT)] };
        bench.apply(&world).await;
        let mut ours = Ours::read(&cluster, bench.config.clone()).await;
        let crowd: Vec<Source> = bench.network.crowd().into_iter().take(20).collect();
        let to = |ip| {
            let to = SocketAddr::new(ip, 80);
            let sent = |source: &Source| TestFlow { protocol: Protocol::Tcp, source: *source, to };
            crowd.iter().map(sent).collect::<Vec<_>>()
        };
        let (inside, outside) = (to(world.services[0].cluster_ip().into()), to(world.services[0].external().into()));
        let mut clients = ClientHistory::default();
        let network = &bench.network;
        clients.connect(network, &mut ours, &inside).await;
        assert_eq!(clients.remembered, 0);
        // Twice the timeout in all: each connection restarts the timeout, whichever of the two addresses it goes to.
        for at in 0..4 {
            tokio::time::sleep(Duration::from_secs(TIMEOUT.into()) / 2).await;
            clients.connect(network, &mut ours, if at % 2 == 0 { &outside } else { &inside }).await;
        }
        assert_eq!(clients.moved, 0);
        let remembered = clients.remembered;
        // No client connects for longer than the timeout.
        tokio::time::sleep(Duration::from_secs(u64::from(TIMEOUT) + 1)).await;
        clients.connect(network, &mut ours, &inside).await;
        println!("{mode:?}: {} remembered, {} of {} moved afterwards", clients.remembered, clients.moved, crowd.len());
        assert!(remembered > 0 && clients.remembered == remembered);
        // By chance, all twenty stay once in 10^12 runs.
        assert!(clients.moved > 0);
    });
}

#[test]
fn client_stays_until_our_core_forgets_it_in_nftables_mode() {
    client_stays_until_our_core_forgets_it(ProxyMode::Nftables);
}

#[test]
fn client_stays_until_our_core_forgets_it_in_iptables_mode() {
    client_stays_until_our_core_forgets_it(ProxyMode::Iptables);
}

/// When a client's pod becomes not ready, the client moves at once and then stays at the new pod.
fn client_leaves_a_pod_that_is_not_ready(mode: ProxyMode) {
    on_cluster(Options::default().proxy(mode), move |cluster| async move {
        let mut bench = Bench::new(cluster.clone(), ours::config(mode), 1).await;
        let mut world = World { services: vec![service(&bench, 4, 10_800)] };
        bench.apply(&world).await;
        let to = SocketAddr::new(world.services[0].cluster_ip().into(), 80);
        let flow = TestFlow { protocol: Protocol::Tcp, source: bench.network.crowd()[0], to };
        let [first] = pods(&bench.network, &[flow]).await[..] else { panic!("one flow reaches one pod") };
        let mut ours = Ours::read(&cluster, bench.config.clone()).await;
        let now = Instant::now();
        // Our core draws independently and may have chosen another pod; that one must become not ready too.
        let drawn = ours.decide(&flow, now).0.unwrap();
        for endpoint in &mut world.services[0].endpoints {
            let ip = IpAddr::V4(endpoint.ip);
            endpoint.ready = Some(first.ip() != ip && drawn.ip() != ip);
        }
        bench.apply(&world).await;
        let then = pods(&bench.network, &[flow; 10]).await;
        assert!(then[0] != first && then.iter().all(|pod| *pod == then[0]), "{first}, then {then:?}");
        ours.read_again(&cluster).await;
        let decided = [(); 10].map(|()| ours.decide(&flow, now));
        assert_eq!(decided[0].1, Choice::Recorded);
        assert!(decided[0].0 != Some(drawn) && decided[1..].iter().all(|one| one.0 == decided[0].0), "{decided:?}");
    });
}

#[test]
fn client_leaves_a_pod_that_is_not_ready_in_nftables_mode() {
    client_leaves_a_pod_that_is_not_ready(ProxyMode::Nftables);
}

#[test]
fn client_leaves_a_pod_that_is_not_ready_in_iptables_mode() {
    client_leaves_a_pod_that_is_not_ready(ProxyMode::Iptables);
}

/// 240 clients connect twice, one after the other, to a Service with two pods. The test counts the clients that are
/// remembered the second time. In iptables mode each pod's list has room for a hundred clients and evicts the least
/// recent.
fn remembers_as_many_clients_as_our_core(mode: ProxyMode) {
    on_cluster(Options::default().proxy(mode), move |cluster| async move {
        let mut bench = Bench::new(cluster.clone(), ours::config(mode), 1).await;
        let world = World { services: vec![service(&bench, 2, 10_800)] };
        bench.apply(&world).await;
        let mut ours = Ours::read(&cluster, bench.config.clone()).await;
        let to = SocketAddr::new(world.services[0].cluster_ip().into(), 80);
        let sent = |source| TestFlow { protocol: Protocol::Tcp, source, to };
        let flows: Vec<TestFlow> = bench.network.crowd().into_iter().map(sent).collect();
        let (mut real, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            for flow in &flows {
                expected.push(ours.decide(flow, Instant::now()).1);
                real.extend(pods(&bench.network, &[*flow]).await);
            }
        }
        let (first, second) = real.split_at(flows.len());
        let moved = first.iter().zip(second).filter(|(first, second)| first != second).count();
        let forgotten = expected[flows.len()..].iter().filter(|choice| **choice == Choice::Recorded).count();
        println!("{mode:?}: of {} clients, our core forgets {forgotten} and the kernel moves {moved}", flows.len());
        match mode {
            // The two lists have room for two hundred clients, so more than twenty are forgotten. Half of those return
            // to their pod by chance: that none of twenty moves happens once in a million runs.
            ProxyMode::Iptables => assert!(forgotten > 20 && moved > 0 && moved <= flows.len() - 20),
            _ => assert_eq!((forgotten, moved), (0, 0)),
        }
    });
}

#[test]
fn remembers_as_many_clients_as_our_core_in_nftables_mode() {
    remembers_as_many_clients_as_our_core(ProxyMode::Nftables);
}

#[test]
fn remembers_as_many_clients_as_our_core_in_iptables_mode() {
    remembers_as_many_clients_as_our_core(ProxyMode::Iptables);
}
