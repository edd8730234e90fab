//! A day in production: how many requests each client loses, and how soon it follows changes, under constant load.
//!
//! The test takes minutes, so it is ignored by default; `just day` runs it. `DISCOVERY_WRITE=1` writes the table into
//! `docs/cluster.md`.

mod load;
mod pods;
mod report;
mod unreachable;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use discovery_core::Resolver;

use nix::sys::signal::Signal;

use self::{
    load::{LoadClient, during},
    pods::PodWatch,
    report::Scenario,
};
use crate::{
    documentation,
    harness::{Cluster, Options, on_cluster},
    manifests::{self, Workload},
};

/// The request timeout of every client.
const TIMEOUT: Duration = Duration::from_secs(2);

const WEB: Workload<'_> = Workload {
    kind: "Deployment",
    namespace: "shop",
    name: "web",
    replicas: 3,
    headless: true,
    // Longer than the TTL of the pods' names: clients that resolve by DNS need that time to notice that a pod
    // terminates.
    options: &["--drain-ms", "7000"],
};

const SET: Workload<'_> = Workload { kind: "StatefulSet", name: "set", ..WEB };

/// A Service with a virtual address in front of the same pods.
fn virtual_address(name: &str) -> String {
    format!(
        "\
apiVersion: v1
kind: Service
metadata: {{namespace: shop, name: {name}-vip}}
spec:
  selector: {{app: {name}}}
  ports: [{{name: http, port: 80, targetPort: http}}]
"
    )
}

/// The four clients of a workload, made in the pod with its environment.
fn clients(env: &BTreeMap<String, String>, to: &str) -> Vec<LoadClient> {
    let resolver = || Resolver::builder().environment(manifests::environment(env.clone()));
    vec![
        ours("ours, by DNS", resolver().build().unwrap(), format!("http://{to}.shop:8080/")),
        ours(
            "ours, by EndpointSlices",
            resolver().endpoint_slices().build().unwrap(),
            format!("http://{to}.shop:8080/"),
        ),
        plain("reqwest, ClusterIP", format!("http://{to}-vip.shop.svc.cluster.local/")),
        plain("reqwest, headless", format!("http://{to}.shop.svc.cluster.local:8080/")),
    ]
}

fn ours(name: &'static str, resolver: Resolver, url: String) -> LoadClient {
    let upstream = resolver.upstream(&*url).unwrap();
    // For the pod that hangs: a quarter of the caller's timeout.
    let client = discovery_reqwest::Client::builder(resolver).attempt_timeout(TIMEOUT / 4).build().unwrap();
    let send = move || {
        let (client, url) = (client.clone(), url.clone());
        let request = async move {
            let response = client.get(url).timeout(TIMEOUT).send().await.map_err(root_cause)?;
            pod(response.error_for_status().map_err(root_cause)?).await
        };
        Box::pin(request) as futures_util::future::BoxFuture<'static, _>
    };
    LoadClient { name, send: Arc::new(send), upstream: Some(upstream) }
}

fn plain(name: &'static str, url: String) -> LoadClient {
    let client = reqwest::Client::builder().timeout(TIMEOUT).build().unwrap();
    let send = move || {
        let (client, url) = (client.clone(), url.clone());
        let request = async move {
            let response = client.get(url).send().await.map_err(root_cause)?;
            pod(response.error_for_status().map_err(root_cause)?).await
        };
        Box::pin(request) as futures_util::future::BoxFuture<'static, _>
    };
    LoadClient { name, send: Arc::new(send), upstream: None }
}

/// The address of the pod that answered.
async fn pod(response: reqwest::Response) -> Result<IpAddr, String> {
    let text = response.text().await.map_err(root_cause)?;
    text.split(' ').nth(1).and_then(|ip| ip.parse().ok()).ok_or(text)
}

/// The last cause of an error: the errors above it only repeat the URL.
fn root_cause(error: impl std::error::Error) -> String {
    let mut cause: &dyn std::error::Error = &error;
    let mut text = error.to_string();
    while let Some(next) = cause.source() {
        cause = next;
        text = cause.to_string();
    }
    text
}

#[test]
#[ignore = "takes five minutes: `just day`"]
fn a_day_in_production() {
    on_cluster(Options::default(), |cluster| async move {
        office(&cluster).await;
        for workload in [WEB, SET] {
            cluster.apply(&workload.manifest()).await;
            cluster.apply(&virtual_address(workload.name)).await;
            cluster.pods_ready("shop", workload.name, 3).await;
            cluster.ready_endpoints("shop", workload.name, 3).await;
            cluster.ready_endpoints("shop", &format!("{}-vip", workload.name), 3).await;
        }
        let (names, scenarios) = all(&cluster).await;
        let mut table = String::from(HEAD);
        for scenario in &scenarios {
            table += &scenario.rows(&names);
            print!("{}{}", scenario.reasons(&names), scenario.behind(&names));
        }
        println!("{table}");
        documentation::write("cluster.md", "day", &table);
        for scenario in &scenarios {
            scenario.assert_no_losses(&names);
        }
    });
}

/// Makes the pod `office/client`, which may read the slices of namespace `shop`.
async fn office(cluster: &Cluster) {
    let role = include_str!("../../../deploy/role.yaml");
    cluster.apply(&manifests::client("office")).await;
    cluster.apply("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}").await;
    // A Role in the Services' namespace, bound to the account of a pod in another one.
    cluster.apply_in("shop", &role.replace("    namespace: shop\n", "    namespace: office\n")).await;
    cluster.pods_ready("office", "client", 1).await;
}

const HEAD: &str = "\
| scenario | client | requests | failed | p50 / p99 | known after ready | first request after ready | dropped after terminating | last request after terminating | share per pod |
|---|---|---|---|---|---|---|---|---|---|
";

async fn all(cluster: &Arc<Cluster>) -> (Vec<&'static str>, Vec<Scenario>) {
    let watches = [WEB, SET].map(|workload| PodWatch::start(cluster, "shop", workload.name));
    let mut scenarios = Vec::new();
    let mut names = Vec::new();
    let only = std::env::var("DISCOVERY_SCENARIO").unwrap_or_default();
    for (title, steady) in [
        ("no event", true),
        ("rolling restart of a Deployment", false),
        ("rolling restart of a StatefulSet", false),
        ("scale 3 -> 10 -> 1 -> 3", false),
        ("each pod killed in turn", false),
        ("each pod hung for 5 s in turn", false),
        ("CoreDNS down for 60 s", true),
        ("API server down for 60 s", true),
    ] {
        if !title.contains(&only) {
            continue;
        }
        let (to, watch) = if title.ends_with("StatefulSet") { ("set", &watches[1]) } else { ("web", &watches[0]) };
        watch.forget();
        let (own, start) = (cluster.clone(), tokio::time::Instant::now());
        let (send, over) = tokio::sync::oneshot::channel();
        // The load runs on the pod's own runtime, the event on the test's.
        let load = cluster.in_pod("office/client", move |env| async move {
            let clients = clients(&env, to);
            // A warm-up, so that names are resolved and connections open.
            during(&clients, tokio::time::sleep(Duration::from_secs(1))).await;
            let (_, tallies) = during(&clients, over).await;
            (clients.iter().map(|client| client.name).collect::<Vec<_>>(), tallies)
        });
        let event = async {
            tokio::time::sleep(Duration::from_secs(1) + load::IN_FLIGHT).await;
            play(&own, title).await;
            // Long enough to see late effects.
            tokio::time::sleep(Duration::from_secs(9)).await;
            send.send(()).ok();
        };
        let ((clients, tallies), ()) = tokio::join!(load, event);
        println!("{title}: {:.1} s", start.elapsed().as_secs_f64());
        names = clients;
        scenarios.push(Scenario { title, tallies, times: watch.times(), steady });
    }
    (names, scenarios)
}

/// Makes the event of a scenario happen.
async fn play(cluster: &Cluster, title: &str) {
    let scale = |replicas: usize| async move {
        let patch = serde_json::json!({"spec": {"replicas": replicas}});
        cluster.patch("apps/v1", "Deployment", "shop", "web", patch).await;
        cluster.pods_ready("shop", "web", replicas).await;
    };
    match title {
        "no event" => tokio::time::sleep(Duration::from_secs(5)).await,
        "rolling restart of a Deployment" => rolling_restart(cluster, WEB).await,
        "rolling restart of a StatefulSet" => rolling_restart(cluster, SET).await,
        "scale 3 -> 10 -> 1 -> 3" => {
            for replicas in [10, 1, 3] {
                scale(replicas).await;
            }
        }
        "each pod killed in turn" => {
            let pods = cluster.pods_ready("shop", "web", 3).await;
            for victim in pods {
                cluster.pod(&format!("shop/{victim}")).kill().unwrap();
                // The kubelet restarts the container, which takes a moment to be ready.
                tokio::time::sleep(Duration::from_secs(3)).await;
                cluster.pods_ready("shop", "web", 3).await;
            }
        }
        "each pod hung for 5 s in turn" => {
            let pods = cluster.pods_ready("shop", "web", 3).await;
            for victim in pods {
                let victim = cluster.pod(&format!("shop/{victim}"));
                victim.signal(Signal::SIGSTOP).unwrap();
                tokio::time::sleep(Duration::from_secs(5)).await;
                victim.signal(Signal::SIGCONT).unwrap();
                cluster.pods_ready("shop", "web", 3).await;
            }
        }
        "CoreDNS down for 60 s" => {
            cluster.kill("coredns-0").await;
            tokio::time::sleep(Duration::from_secs(60)).await;
            cluster.start_again("coredns-0");
        }
        "API server down for 60 s" => {
            cluster.kill("apiserver").await;
            tokio::time::sleep(Duration::from_secs(60)).await;
            cluster.start_again("apiserver");
        }
        other => panic!("unknown scenario: {other}"),
    }
}

async fn rolling_restart(cluster: &Cluster, workload: Workload<'_>) {
    let uids = || async {
        let pods = cluster.pods("shop", workload.name).await;
        pods.iter().filter_map(|pod| pod.metadata.uid.clone()).collect::<BTreeSet<String>>()
    };
    let before = uids().await;
    cluster.restart(workload.kind, "shop", workload.name).await;
    cluster.until("all pods replaced", || async { uids().await.is_disjoint(&before) }).await;
    cluster.pods_ready("shop", workload.name, workload.replicas as usize).await;
}
