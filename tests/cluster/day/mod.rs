//! A day in production: what each client loses and how soon it follows, under constant load from a pod.
//!
//! It takes minutes, so it is ignored by default: `just day`. With `DISCOVERY_WRITE=1` the table goes into
//! `docs/cluster.md`.

mod load;
mod pods;
mod report;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use discovery_core::Resolver;

use nix::sys::signal::Signal;

use self::{
    load::{Client, during},
    pods::Watch,
    report::Scenario,
};
use crate::{
    documentation,
    harness::{Cluster, Options, on_cluster},
    manifests::{self, Workload},
};

/// A request may take so long with every client.
const TIMEOUT: Duration = Duration::from_secs(2);

const WEB: Workload<'_> = Workload {
    kind: "Deployment",
    namespace: "shop",
    name: "web",
    replicas: 3,
    headless: true,
    // A pod goes on for as long as a client needs to hear of its end: the TTL of its name.
    options: &["--drain-ms", "7000"],
};

const SET: Workload<'_> = Workload { kind: "StatefulSet", name: "set", ..WEB };

/// The same pods behind a virtual address.
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

/// The clients of a workload, as they are made in the pod.
fn clients(env: &BTreeMap<String, String>, to: &str) -> Vec<Client> {
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

fn ours(name: &'static str, resolver: Resolver, url: String) -> Client {
    let upstream = resolver.upstream(&*url).unwrap();
    // For the pod that hangs: a quarter of what the caller waits.
    let client = discovery_reqwest::Client::builder(resolver).attempt_timeout(TIMEOUT / 4).build().unwrap();
    let send = move || {
        let (client, url) = (client.clone(), url.clone());
        let request = async move {
            let response = client.get(url).timeout(TIMEOUT).send().await.map_err(told)?;
            pod(response.error_for_status().map_err(told)?).await
        };
        Box::pin(request) as futures_util::future::BoxFuture<'static, _>
    };
    Client { name, send: Arc::new(send), upstream: Some(upstream) }
}

fn plain(name: &'static str, url: String) -> Client {
    let client = reqwest::Client::builder().timeout(TIMEOUT).build().unwrap();
    let send = move || {
        let (client, url) = (client.clone(), url.clone());
        let request = async move {
            let response = client.get(url).send().await.map_err(told)?;
            pod(response.error_for_status().map_err(told)?).await
        };
        Box::pin(request) as futures_util::future::BoxFuture<'static, _>
    };
    Client { name, send: Arc::new(send), upstream: None }
}

/// The pod's address.
async fn pod(response: reqwest::Response) -> Result<IpAddr, String> {
    let text = response.text().await.map_err(told)?;
    text.split(' ').nth(1).and_then(|ip| ip.parse().ok()).ok_or(text)
}

/// The last of the causes: what is above it only repeats the URL.
fn told(error: impl std::error::Error) -> String {
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
        let role = include_str!("../../../deploy/role.yaml");
        cluster.apply(&manifests::client("office")).await;
        cluster.apply("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}").await;
        // Of the Services' namespace, for the account of another one.
        cluster.apply_in("shop", &role.replace("    namespace: shop\n", "    namespace: office\n")).await;
        cluster.pods_ready("office", "client", 1).await;
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
        documentation::write("cluster.md", &table);
        for scenario in &scenarios {
            scenario.is_as_promised(&names);
        }
    });
}

const HEAD: &str = "\
| what happens | client | requests | failed | p50 / p99 | known after ready | first request after ready | unknown after terminating | last request after terminating | share |
|---|---|---|---|---|---|---|---|---|---|
";

async fn all(cluster: &Arc<Cluster>) -> (Vec<&'static str>, Vec<Scenario>) {
    let watches = [WEB, SET].map(|workload| Watch::start(cluster, "shop", workload.name));
    let mut scenarios = Vec::new();
    let mut names = Vec::new();
    let only = std::env::var("DISCOVERY_SCENARIO").unwrap_or_default();
    for (title, steady) in [
        ("nothing", true),
        ("rolling restart of a Deployment", false),
        ("rolling restart of a StatefulSet", false),
        ("scale 3 -> 10 -> 1 -> 3", false),
        ("each pod is killed in turn", false),
        ("each pod hangs for 5 s in turn", false),
        ("CoreDNS away for 60 s", true),
        ("API server away for 60 s", true),
    ] {
        if !title.contains(&only) {
            continue;
        }
        let (to, watch) = if title.ends_with("StatefulSet") { ("set", &watches[1]) } else { ("web", &watches[0]) };
        watch.forget();
        let (own, begun) = (cluster.clone(), tokio::time::Instant::now());
        let (send, over) = tokio::sync::oneshot::channel();
        // The load runs on the pod's own runtime, and what happens on ours.
        let load = cluster.in_pod("office/client", move |env| async move {
            let clients = clients(&env, to);
            // Connections are there, and names known.
            during(&clients, tokio::time::sleep(Duration::from_secs(1))).await;
            let (_, tallies) = during(&clients, over).await;
            (clients.iter().map(|client| client.name).collect::<Vec<_>>(), tallies)
        });
        let event = async {
            tokio::time::sleep(Duration::from_secs(1) + load::LAST).await;
            happens(&own, title).await;
            // What follows late is seen too.
            tokio::time::sleep(Duration::from_secs(9)).await;
            send.send(()).ok();
        };
        let ((clients, tallies), ()) = tokio::join!(load, event);
        println!("{title}: {:.1} s", begun.elapsed().as_secs_f64());
        names = clients;
        scenarios.push(Scenario { title, tallies, lives: watch.lives(), steady });
    }
    (names, scenarios)
}

async fn happens(cluster: &Cluster, title: &str) {
    let scale = |replicas: usize| async move {
        let patch = serde_json::json!({"spec": {"replicas": replicas}});
        cluster.patch("apps/v1", "Deployment", "shop", "web", patch).await;
        cluster.pods_ready("shop", "web", replicas).await;
    };
    match title {
        "nothing" => tokio::time::sleep(Duration::from_secs(5)).await,
        "rolling restart of a Deployment" => rolling_restart(cluster, WEB).await,
        "rolling restart of a StatefulSet" => rolling_restart(cluster, SET).await,
        "scale 3 -> 10 -> 1 -> 3" => {
            for replicas in [10, 1, 3] {
                scale(replicas).await;
            }
        }
        "each pod is killed in turn" => {
            let pods = cluster.pods_ready("shop", "web", 3).await;
            for victim in pods {
                cluster.pod(&format!("shop/{victim}")).kill().unwrap();
                // It is started again, and takes a moment to be ready.
                tokio::time::sleep(Duration::from_secs(3)).await;
                cluster.pods_ready("shop", "web", 3).await;
            }
        }
        "each pod hangs for 5 s in turn" => {
            let pods = cluster.pods_ready("shop", "web", 3).await;
            for victim in pods {
                let victim = cluster.pod(&format!("shop/{victim}"));
                victim.signal(Signal::SIGSTOP).unwrap();
                tokio::time::sleep(Duration::from_secs(5)).await;
                victim.signal(Signal::SIGCONT).unwrap();
                cluster.pods_ready("shop", "web", 3).await;
            }
        }
        "CoreDNS away for 60 s" => {
            cluster.kill("coredns-0").await;
            tokio::time::sleep(Duration::from_secs(60)).await;
            cluster.start_again("coredns-0");
        }
        "API server away for 60 s" => {
            cluster.kill("apiserver").await;
            tokio::time::sleep(Duration::from_secs(60)).await;
            cluster.start_again("apiserver");
        }
        other => panic!("nothing is known of {other}"),
    }
}

async fn rolling_restart(cluster: &Cluster, workload: Workload<'_>) {
    let uids = || async {
        let pods = cluster.pods("shop", workload.name).await;
        pods.iter().filter_map(|pod| pod.metadata.uid.clone()).collect::<BTreeSet<String>>()
    };
    let before = uids().await;
    cluster.restart(workload.kind, "shop", workload.name).await;
    cluster.until("other pods", || async { uids().await.is_disjoint(&before) }).await;
    cluster.pods_ready("shop", workload.name, 3).await;
}
