//! Waiting for the controllers and the kubelet.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::api::{core::v1::Pod, discovery::v1::EndpointSlice};
use kube::{Api, ResourceExt as _, api::ListParams};

use super::cluster::{Cluster, PATIENCE};

impl Cluster {
    /// Waits until `condition` returns true.
    ///
    /// # Panics
    /// If that takes longer than [`PATIENCE`].
    pub(crate) async fn until<F: Future<Output = bool>>(&self, what: &str, condition: impl Fn() -> F) {
        let reached = async {
            while !condition().await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, reached).await.is_err() {
            panic!("{what}: not within {PATIENCE:?}");
        }
    }

    /// Waits until exactly `count` pods with `app: app` exist, all ready and none terminating; returns their names.
    pub(crate) async fn pods_ready(&self, namespace: &str, app: &str, count: usize) -> BTreeSet<String> {
        self.until(&format!("{count} ready pods of {app}"), || async {
            let pods = self.pods(namespace, app).await;
            pods.len() == count && pods.iter().all(|pod| is_ready(pod) && pod.metadata.deletion_timestamp.is_none())
        })
        .await;
        self.pods(namespace, app).await.iter().map(|pod| pod.name_any()).collect()
    }

    /// The pods with `app: app`.
    pub(crate) async fn pods(&self, namespace: &str, app: &str) -> Vec<Pod> {
        let params = ListParams::default().labels(&format!("app={app}"));
        Api::<Pod>::namespaced(self.client(), namespace).list(&params).await.map_or(Vec::new(), |list| list.items)
    }

    /// Whether the API answers and has no EndpointSlices in the namespace.
    pub(crate) async fn is_empty(&self, namespace: &str) -> bool {
        let api = Api::<EndpointSlice>::namespaced(self.client(), namespace);
        api.list(&ListParams::default()).await.is_ok_and(|list| list.items.is_empty())
    }

    /// The slices of a Service.
    pub(crate) async fn slices(&self, namespace: &str, service: &str) -> Vec<EndpointSlice> {
        let params = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
        let api = Api::<EndpointSlice>::namespaced(self.client(), namespace);
        api.list(&params).await.map_or(Vec::new(), |list| list.items)
    }

    /// Waits until the slices of a Service list exactly `count` ready endpoints.
    pub(crate) async fn ready_endpoints(&self, namespace: &str, service: &str, count: usize) {
        self.until(&format!("{count} ready endpoints of {service}"), || async {
            let slices = self.slices(namespace, service).await;
            let ready = |slice: &EndpointSlice| {
                let is_ready = |e: &&k8s_openapi::api::discovery::v1::Endpoint| {
                    e.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
                };
                slice.endpoints.iter().flatten().filter(is_ready).count()
            };
            slices.iter().map(ready).sum::<usize>() == count
        })
        .await;
    }
}

/// Whether the pod's Ready condition is true.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
