//! Pods that a client cannot reach: what `discovery_reqwest::Client` with its defaults loses, GETs and POSTs alike.
//!
//! The packets between the client's pod and some pods of a Service are dropped in both directions, as behind a
//! NetworkPolicy or a broken link. Nothing answers, and the pods stay Ready, because the kubelet reaches them. Each
//! test takes half a minute; `just unreachable` measures longer faults for the table in `docs/cluster.md`.

mod outcome;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use discovery_core::Resolver;
use k8s_openapi::api::core::v1::Pod;
use tokio::time::sleep;

use self::outcome::Outcome;
use super::{
    TIMEOUT,
    load::{self, LoadClient, during},
    office, pod, rolling_restart, root_cause,
};
use crate::{
    documentation,
    harness::{Cluster, Options, PacketLoss, on_cluster},
    manifests::{self, Workload},
};

/// Without an event, so that what follows can be compared with it.
const QUIET: Duration = Duration::from_secs(5);

/// After the event: twice as long as traffic may take to come back to a pod.
const AFTERWARDS: Duration = Duration::from_secs(6);

const DEPLOYMENT: Workload<'_> =
    Workload { kind: "Deployment", namespace: "shop", name: "web", replicas: 3, headless: true, options: &[] };

/// What happens while requests are sent.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The client cannot reach `victims` of the pods for this time.
    Unreachable {
        victims: usize,
        lasts: Duration,
    },
    RollingRestart,
}

/// A scenario, on a Deployment of its own.
#[derive(Clone, Copy, Debug)]
struct Scenario {
    title: &'static str,
    replicas: u32,
    options: &'static [&'static str],
    event: Event,
    /// The most requests of one client that may fail.
    most_failed: usize,
}

fn two_of_four(lasts: Duration) -> Scenario {
    Scenario {
        title: "2 of 4 pods unreachable",
        replicas: 4,
        options: &[],
        event: Event::Unreachable { victims: 2, lasts },
        most_failed: CUT,
    }
}

fn one_of_four(lasts: Duration) -> Scenario {
    Scenario {
        title: "1 of 4 pods unreachable",
        replicas: 4,
        options: &[],
        event: Event::Unreachable { victims: 1, lasts },
        most_failed: CUT,
    }
}

fn three_of_nine(lasts: Duration) -> Scenario {
    Scenario {
        title: "3 of 9 pods unreachable",
        replicas: 9,
        options: &[],
        event: Event::Unreachable { victims: 3, lasts },
        most_failed: CUT,
    }
}

fn rolling_restart_without_grace() -> Scenario {
    Scenario {
        title: "rolling restart of 3 pods that exit at once on SIGTERM",
        replicas: 3,
        options: &["--on-sigterm", "exit"],
        event: Event::RollingRestart,
        most_failed: 5,
    }
}

/// Requests fail only on connections that were open before the event, and each of these loses one. How many are open
/// depends on how many requests were under way at once, so the bound is generous: at most 15 were seen. A client that
/// does not know which endpoints are unreachable loses a hundred and more, except with one of four pods: then requests
/// in flight keep the policy away from the pod, whatever is known.
const CUT: usize = 40;

const SHORT: Duration = Duration::from_secs(15);

#[test]
fn loses_few_requests_while_two_of_four_pods_are_unreachable() {
    test(two_of_four(SHORT));
}

#[test]
fn loses_few_requests_while_one_of_four_pods_is_unreachable() {
    test(one_of_four(SHORT));
}

#[test]
fn loses_few_requests_while_three_of_nine_pods_are_unreachable() {
    test(three_of_nine(SHORT));
}

#[test]
fn loses_few_requests_while_pods_that_exit_at_once_are_restarted() {
    test(rolling_restart_without_grace());
}

#[test]
#[ignore = "takes five minutes: `just unreachable`"]
fn unreachable_pods() {
    on_cluster(Options::default(), |cluster| async move {
        office(&cluster).await;
        let (minute, shorter) = (Duration::from_secs(60), Duration::from_secs(40));
        let scenarios =
            [two_of_four(minute), three_of_nine(minute), one_of_four(shorter), rolling_restart_without_grace()];
        let mut outcomes = Vec::new();
        for scenario in scenarios {
            outcomes.extend(run(&cluster, scenario).await.into_iter().map(|outcome| (scenario, outcome)));
        }
        let mut table = String::from(outcome::HEAD);
        outcomes.iter().for_each(|(scenario, outcome)| table += &outcome.row(scenario.title));
        outcomes.iter().for_each(|(scenario, outcome)| print!("{}: {}", scenario.title, outcome.failures()));
        println!("{table}");
        documentation::write("cluster.md", "unreachable", &table);
        outcomes.iter().for_each(|(scenario, outcome)| outcome.check(scenario.most_failed));
    });
}

fn test(scenario: Scenario) {
    on_cluster(Options::default(), move |cluster| async move {
        office(&cluster).await;
        let outcomes = run(&cluster, scenario).await;
        let rows: String = outcomes.iter().map(|outcome| outcome.row(scenario.title) + &outcome.failures()).collect();
        println!("{}{rows}", outcome::HEAD);
        outcomes.iter().for_each(|outcome| outcome.check(scenario.most_failed));
    });
}

/// Plays a scenario and removes its pods; returns what came of each client.
async fn run(cluster: &Arc<Cluster>, scenario: Scenario) -> Vec<Outcome> {
    let workload = Workload { replicas: scenario.replicas, options: scenario.options, ..DEPLOYMENT };
    let count = scenario.replicas as usize;
    cluster.apply(&workload.manifest()).await;
    cluster.pods_ready("shop", workload.name, count).await;
    cluster.ready_endpoints("shop", workload.name, count).await;
    let (send, over) = tokio::sync::oneshot::channel();
    // The load runs on the pod's own runtime, the event on the test's.
    let load = cluster.in_pod("office/client", move |env| async move {
        let clients = clients(&env);
        // A warm-up, so that names are resolved and connections open.
        during(&clients, sleep(Duration::from_secs(1))).await;
        let (_, tallies) = during(&clients, over).await;
        clients.iter().map(|client| client.name).zip(tallies).collect::<Vec<_>>()
    });
    let event = async {
        sleep(Duration::from_secs(1) + load::IN_FLIGHT).await;
        let quiet = Instant::now();
        sleep(QUIET).await;
        let (begun, victims) = (Instant::now(), play(cluster, workload, scenario.event).await);
        let ended = Instant::now();
        sleep(AFTERWARDS).await;
        send.send(()).ok();
        (quiet, begun, ended, victims)
    };
    let (tallies, (quiet, begun, ended, victims)) = tokio::join!(load, event);
    let new = |(client, tally)| Outcome { client, tally, quiet, begun, ended, victims: victims.clone() };
    let outcomes = tallies.into_iter().map(new).collect();
    cluster.patch("apps/v1", workload.kind, "shop", workload.name, serde_json::json!({"spec": {"replicas": 0}})).await;
    cluster.pods_ready("shop", workload.name, 0).await;
    outcomes
}

/// Makes the event happen; returns the addresses of the pods that were unreachable.
async fn play(cluster: &Cluster, workload: Workload<'_>, event: Event) -> BTreeSet<IpAddr> {
    let Event::Unreachable { victims, lasts } = event else {
        // Without it all pods are replaced within 0.3 s, before DNS can name a new one: 22 of 1142 requests failed.
        let paced = serde_json::json!({"spec": {"minReadySeconds": 1}});
        cluster.patch("apps/v1", workload.kind, "shop", workload.name, paced).await;
        rolling_restart(cluster, workload).await;
        return BTreeSet::new();
    };
    let before = cluster.pods_ready("shop", workload.name, workload.replicas as usize).await;
    let victims: BTreeSet<IpAddr> =
        cluster.pods("shop", workload.name).await.iter().filter_map(address).take(victims).collect();
    let client = cluster.pods("office", "client").await.iter().find_map(address).unwrap();
    let cut = cut(cluster, client, &victims);
    sleep(lasts).await;
    drop(cut);
    let after = cluster.pods_ready("shop", workload.name, workload.replicas as usize).await;
    assert_eq!(before, after, "a partition between pods leaves all of them Ready");
    victims
}

fn address(pod: &Pod) -> Option<IpAddr> {
    pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()
}

/// Drops all packets between the client and the victims, in both directions, from one moment on.
fn cut(cluster: &Cluster, client: IpAddr, victims: &BTreeSet<IpAddr>) -> PacketLoss {
    let pairs = victims.iter().map(|victim| format!("{client} . {victim}, {victim} . {client}"));
    cluster.drop_packets(&format!("ip saddr . ip daddr {{ {} }}", pairs.collect::<Vec<_>>().join(", ")))
}

/// Our client with its defaults, with both sources.
fn clients(env: &BTreeMap<String, String>) -> Vec<LoadClient> {
    let resolver = || Resolver::builder().environment(manifests::environment(env.clone()));
    vec![
        ours("ours, by DNS", resolver().build().unwrap()),
        ours("ours, by EndpointSlices", resolver().endpoint_slices().build().unwrap()),
    ]
}

fn ours(name: &'static str, resolver: Resolver) -> LoadClient {
    let client = discovery_reqwest::Client::new(resolver);
    let number = Arc::new(AtomicU32::new(0));
    let send = move || {
        let (client, number) = (client.clone(), number.fetch_add(1, Relaxed));
        let request = async move {
            let (method, request) = match number % 2 {
                0 => ("GET", client.get(URL)),
                _ => ("POST", client.post(URL).body("an order")),
            };
            // The error names the endpoint, and the number of endpoints that were tried.
            let failed = |error: discovery_reqwest::Error| format!("{method}: {error}: {}", root_cause(&error));
            let response = request.timeout(TIMEOUT).send().await.map_err(failed)?;
            pod(response.error_for_status().map_err(root_cause)?).await
        };
        Box::pin(request) as futures_util::future::BoxFuture<'static, _>
    };
    LoadClient { name, send: Arc::new(send), upstream: None }
}

const URL: &str = "http://web.shop:8080/";
