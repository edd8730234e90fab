//! EndpointSlices as a source: a pod watches a real API server with its own service account.

use std::time::Duration;

use discovery_core::{Resolver, ResolverBuilder, Upstream};
use tests::addrs;

use crate::{
    harness::{Cluster, Options, on_cluster},
    manifests::{self, Workload},
};

const WEB: Workload<'_> =
    Workload { kind: "Deployment", namespace: "shop", name: "web", replicas: 3, headless: false, options: &[] };

async fn web(cluster: &Cluster) {
    cluster.apply(&manifests::client("shop")).await;
    cluster.apply(&WEB.manifest()).await;
    cluster.pods_ready("shop", "web", 3).await;
    cluster.pods_ready("shop", "client", 1).await;
    cluster.ready_endpoints("shop", "web", 3).await;
}

async fn role(cluster: &Cluster) {
    let manifest = include_str!("../../deploy/role.yaml");
    // As `kubectl -n shop apply` does.
    cluster.apply_in("shop", manifest).await;
}

fn in_pod(env: std::collections::BTreeMap<String, String>) -> ResolverBuilder {
    Resolver::builder().environment(manifests::environment(env)).endpoint_slices()
}

async fn winner(upstream: &Upstream, wanted: &str) {
    let won = async {
        while upstream.explain().winner != Some(wanted) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(30), won).await.is_err() {
        panic!("{wanted} did not win within 30 s: {}", upstream.explain());
    }
}

/// With EndpointSlices enabled but no Role, DNS answers. The Role of `deploy/role.yaml` is enough to find the pods.
#[test]
fn falls_back_to_dns_without_the_role_and_needs_no_more_than_it() {
    on_cluster(Options::default(), |cluster| async move {
        web(&cluster).await;
        let (by_dns, why) = cluster
            .in_pod("shop/client", |env| async {
                let web = in_pod(env).build().unwrap().resolve("http://web").await.unwrap();
                (addrs(&web.endpoints()), web.explain().to_string())
            })
            .await;
        assert!(by_dns.len() == 1 && by_dns[0].starts_with("10.96."), "the virtual address: {by_dns:?}\n{why}");
        assert!(why.contains("get, list and watch") && why.contains("deploy/role.yaml"), "the missing Role: {why}");

        role(&cluster).await;
        let (pods, why) = cluster
            .in_pod("shop/client", |env| async {
                let web = in_pod(env).build().unwrap().resolve("http://web").await.unwrap();
                (web.endpoints().iter().cloned().collect::<Vec<_>>(), web.explain().to_string())
            })
            .await;
        println!("{why}");
        assert_eq!(pods.len(), 3, "{why}");
        assert!(pods.iter().all(|pod| pod.addr().to_string().starts_with("10.244.") && pod.port() == 8080), "{why}");
    });
}

/// The API server is killed and restarted, then suspended and resumed. The endpoints stay, and changes made meanwhile
/// are noticed soon after.
#[test]
fn keeps_endpoints_while_the_api_server_is_down() {
    on_cluster(Options::default(), |cluster| async move {
        web(&cluster).await;
        role(&cluster).await;
        let (send, mut sets) = tokio::sync::mpsc::unbounded_channel();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let own = cluster.clone();
        let pod = tokio::spawn(async move {
            own.in_pod("shop/client", |env| async move {
                let web = in_pod(env).build().unwrap().resolve("http://web").await.unwrap();
                winner(&web, "endpoint-slices").await;
                let mut watch = web.watch();
                let follow = async {
                    loop {
                        let set = watch.next().await;
                        if send.send((addrs(&set), web.explain().to_string())).is_err() {
                            return;
                        }
                    }
                };
                tokio::select! {
                    () = follow => {}
                    _ = stopped => {}
                }
            })
            .await;
        });
        let mut next =
            async || tokio::time::timeout(Duration::from_secs(60), sets.recv()).await.expect("a set").unwrap();
        assert_eq!(next().await.0.len(), 3);
        for outage in ["killed", "suspended"] {
            match outage {
                "killed" => cluster.kill("apiserver").await,
                _ => cluster.stop("apiserver"),
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
            match outage {
                "killed" => cluster.start_again("apiserver"),
                _ => cluster.cont("apiserver"),
            }
            cluster.until("the API server", || async { !cluster.pods("shop", "web").await.is_empty() }).await;
            let replicas = if outage == "killed" { 4 } else { 2 };
            let patch = serde_json::json!({"spec": {"replicas": replicas}});
            cluster.patch("apps/v1", "Deployment", "shop", "web", patch).await;
            // No set on the way is smaller than both the old and the new one.
            loop {
                let (set, why) = next().await;
                assert!(set.len() >= replicas.min(3), "{outage}: {set:?}\n{why}");
                if set.len() == replicas {
                    break;
                }
            }
        }
        drop(stop);
        pod.await.unwrap();
    });
}

/// The API server comes back empty: no Service, no slice, no Role. The pods still run, and their endpoints stay.
#[test]
fn keeps_endpoints_when_etcd_loses_its_data() {
    on_cluster(Options::default(), |cluster| async move {
        web(&cluster).await;
        role(&cluster).await;
        let (send_ready, ready) = tokio::sync::oneshot::channel::<()>();
        let (send_check, check) = tokio::sync::oneshot::channel::<()>();
        let own = cluster.clone();
        let pod = tokio::spawn(async move {
            own.in_pod("shop/client", |env| async move {
                let web = in_pod(env).build().unwrap().resolve("http://web").await.unwrap();
                winner(&web, "endpoint-slices").await;
                let before = addrs(&web.endpoints());
                send_ready.send(()).unwrap();
                check.await.unwrap();
                (before, addrs(&web.endpoints()), web.explain().to_string())
            })
            .await
        });
        ready.await.unwrap();
        cluster.kill("apiserver").await;
        cluster.empty_etcd().await;
        cluster.start_again("apiserver");
        cluster.until("an empty API", || async { cluster.is_empty("shop").await }).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        send_check.send(()).unwrap();
        let (before, after, why) = pod.await.unwrap();
        println!("{why}");
        assert_eq!(before.len(), 3);
        assert_eq!(after, before, "{why}");
    });
}
