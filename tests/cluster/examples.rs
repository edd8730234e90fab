//! The examples and manifests for a real cluster.

use std::{path::Path, process::Command};

use crate::{
    harness::{Options, on_cluster},
    manifests::{self, Workload},
};

const WEB: Workload<'_> =
    Workload { kind: "Deployment", namespace: "shop", name: "web", replicas: 2, headless: false, options: &[] };

const ALIAS: &str = "\
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: alias}
spec: {type: ExternalName, externalName: web.shop.svc.cluster.local}
";

/// Builds the example, which belongs to another package, and returns its path.
fn resolve() -> String {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", "examples", "--bin", "resolve", "--features", "kubernetes"])
        .status();
    assert!(built.unwrap().success());
    let folder = Path::new(env!("CARGO_BIN_EXE_test-pod")).parent().unwrap();
    folder.join("resolve").display().to_string()
}

/// In a pod, each of the three sources answers for some target, and the explanation names the winner.
#[test]
fn resolve_names_the_source_that_won_in_a_pod() {
    on_cluster(Options::default(), |cluster| async move {
        let program = tokio::task::spawn_blocking(resolve).await.unwrap();
        cluster.apply("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}").await;
        cluster.apply(&WEB.manifest()).await;
        cluster.apply(ALIAS).await;
        cluster.apply_in("shop", include_str!("../../deploy/role.yaml")).await;
        cluster.pods_ready("shop", "web", 2).await;
        cluster.ready_endpoints("shop", "web", 2).await;
        // The pod starts after the Service, so that the kubelet sets the Service's variables in it.
        cluster.apply(&manifests::client("shop")).await;
        cluster.pods_ready("shop", "client", 1).await;
        for (args, all) in [
            (["DISCOVERY_SERVICE_ENV=on", "http://web"], &["  env: 1 endpoint  <- won"][..]),
            (["DISCOVERY_SERVICE_ENV=off", "http://web"], &["  endpoint-slices: 2 endpoints  <- won"]),
            (
                ["DISCOVERY_SERVICE_ENV=on", "alias:8080"],
                &["  env: not applicable", "  endpoint-slices: no such name", "  dns: 1 endpoint  <- won"],
            ),
        ] {
            let [variable, name] = args;
            let output = cluster.exec("shop/client", "env", &[variable, &program, name, "--slices"]).await;
            let text = String::from_utf8_lossy(&output.stdout);
            println!("$ {variable} resolve {name} --slices\n{text}");
            assert!(output.status.success() && all.iter().all(|line| text.contains(line)), "{text}{output:?}");
        }
    });
}

/// The API server accepts the manifest and its pods become ready. Only the container's program is replaced.
#[test]
fn the_application_manifest_is_valid() {
    on_cluster(Options::default(), |cluster| async move {
        cluster.apply("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}").await;
        let manifest = include_str!("../../examples/kubernetes/app.yaml");
        let image = "image: registry.example/checkout:1.0.0\n";
        assert!(manifest.contains(image));
        let program = format!("{image}          command: [test-pod, serve]\n");
        cluster.apply_in("shop", &manifest.replace(image, &program)).await;
        cluster.pods_ready("shop", "checkout", 2).await;
        cluster.ready_endpoints("shop", "checkout", 2).await;
    });
}
