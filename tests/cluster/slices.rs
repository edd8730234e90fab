//! EndpointSlices as a source, watched on a real API server by the service account of a pod.

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
        panic!("not {wanted}: {}", upstream.explain());
    }
}

/// Switched on without the Role DNS answers; with the Role of `deploy/role.yaml` the pods are known.
#[test]
fn dns_goes_on_where_the_role_is_missing_and_the_minimal_role_is_enough() {
    on_cluster(Options::default(), |cluster| async move {
        web(&cluster).await;
        let (by_dns, why) = cluster
            .in_pod("shop/client", |env| async {
                let web = in_pod(env).build().unwrap().resolve("http://web").await.unwrap();
                (addrs(&web.endpoints()), web.explain().to_string())
            })
            .await;
        assert!(by_dns.len() == 1 && by_dns[0].starts_with("10.96."), "the virtual address: {by_dns:?}\n{why}");
        assert!(why.contains("get, list and watch") && why.contains("deploy/role.yaml"), "what is missing: {why}");

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

/// The API server is killed and started again, and is stopped without notice: the pods stay, and what changed
/// meanwhile is known soon after.
#[test]
fn the_pods_stay_while_the_api_server_is_away() {
    on_cluster(Options::default(), |cluster| async move {
        web(&cluster).await;
        role(&cluster).await;
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let (ask, asked) = tokio::sync::oneshot::channel::<()>();
        let own = cluster.clone();
        let pod = tokio::spawn(async move {
            own.in_pod("shop/client", |env| async move {
                let web = in_pod(env).build().unwrap().resolve("http://web").await.unwrap();
                winner(&web, "endpoint-slices").await;
                let mut watch = web.watch();
                let follow = async {
                    loop {
                        let set = watch.next().await;
                        if tell.send((addrs(&set), web.explain().to_string())).is_err() {
                            return;
                        }
                    }
                };
                tokio::select! {
                    () = follow => {}
                    _ = asked => {}
                }
            })
            .await;
        });
        let mut next =
            async || tokio::time::timeout(Duration::from_secs(60), told.recv()).await.expect("a set").unwrap();
        assert_eq!(next().await.0.len(), 3);
        for away in ["killed", "stopped"] {
            match away {
                "killed" => cluster.kill("apiserver").await,
                _ => cluster.stop("apiserver"),
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
            match away {
                "killed" => cluster.start_again("apiserver"),
                _ => cluster.cont("apiserver"),
            }
            cluster.until("the API server", || async { !cluster.pods("shop", "web").await.is_empty() }).await;
            let replicas = if away == "killed" { 4 } else { 2 };
            let patch = serde_json::json!({"spec": {"replicas": replicas}});
            cluster.patch("apps/v1", "Deployment", "shop", "web", patch).await;
            // No set in between is smaller than both.
            loop {
                let (set, why) = next().await;
                assert!(set.len() >= replicas.min(3), "{away}: {set:?}\n{why}");
                if set.len() == replicas {
                    break;
                }
            }
        }
        drop(ask);
        pod.await.unwrap();
    });
}

/// The API server comes back with nothing in it: no Service, no slice, no Role. The pods are still there.
#[test]
fn the_pods_stay_when_etcd_has_lost_everything() {
    on_cluster(Options::default(), |cluster| async move {
        web(&cluster).await;
        role(&cluster).await;
        let (tell, told) = tokio::sync::oneshot::channel::<()>();
        let (ask, asked) = tokio::sync::oneshot::channel::<()>();
        let own = cluster.clone();
        let pod = tokio::spawn(async move {
            own.in_pod("shop/client", |env| async move {
                let web = in_pod(env).build().unwrap().resolve("http://web").await.unwrap();
                winner(&web, "endpoint-slices").await;
                let before = addrs(&web.endpoints());
                tell.send(()).unwrap();
                asked.await.unwrap();
                (before, addrs(&web.endpoints()), web.explain().to_string())
            })
            .await
        });
        told.await.unwrap();
        cluster.kill("apiserver").await;
        cluster.empty_etcd().await;
        cluster.start_again("apiserver");
        cluster.until("an empty API", || async { cluster.is_empty("shop").await }).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        ask.send(()).unwrap();
        let (before, after, why) = pod.await.unwrap();
        println!("{why}");
        assert_eq!(before.len(), 3);
        assert_eq!(after, before, "{why}");
    });
}
