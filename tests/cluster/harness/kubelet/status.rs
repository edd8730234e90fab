//! The pod status that the kubelet writes to the API.

use std::time::Duration;

use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::sandbox::container;
use crate::harness::node::NODE_IP;

/// The state of a pod's process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) phase: &'static str,
    pub(super) ips: Vec<String>,
    pub(super) ready: bool,
    pub(super) restarts: i32,
    /// When the phase or the readiness last changed.
    pub(super) since: String,
}

impl Status {
    pub(super) fn pending() -> Self {
        Self { phase: "Pending", ips: Vec::new(), ready: false, restarts: 0, since: now() }
    }

    fn to_json(&self, pod: &Pod) -> Value {
        let flag = |value: bool| if value { "True" } else { "False" };
        let condition =
            |kind: &str, value: bool| json!({"type": kind, "status": flag(value), "lastTransitionTime": self.since});
        let name = container(pod).map(|container| container.name.clone());
        let state = match self.phase {
            "Running" => json!({"running": {"startedAt": self.since}, "terminated": null}),
            "Pending" => json!({"waiting": {"reason": "ContainerCreating"}}),
            phase => json!({"running": null, "terminated": {"exitCode": i32::from(phase == "Failed")}}),
        };
        let ips: Vec<_> = self.ips.iter().map(|ip| json!({"ip": ip})).collect();
        json!({
            "phase": self.phase, "hostIP": NODE_IP, "hostIPs": [{"ip": NODE_IP}],
            "podIP": self.ips.first(), "podIPs": ips,
            "conditions": [
                condition("PodScheduled", true), condition("Initialized", true),
                condition("ContainersReady", self.ready), condition("Ready", self.ready),
            ],
            "containerStatuses": [{
                "name": name, "ready": self.ready, "started": self.phase == "Running", "restartCount": self.restarts,
                "image": "none", "imageID": "", "state": state,
            }],
        })
    }
}

/// Writes every new state to the API and retries until it is accepted. Only the newest state counts.
pub(super) async fn publish(api: Api<Pod>, pod: Pod, mut states: watch::Receiver<Status>) {
    let name = pod.name_any();
    states.mark_changed();
    while states.changed().await.is_ok() {
        let state = states.borrow_and_update().clone();
        // The patch contains the UID, so that the API refuses it for a later pod with the same name.
        let patch = json!({"metadata": {"uid": pod.uid()}, "status": state.to_json(&pod)});
        match api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Err(kube::Error::Api(refused)) if [404, 409, 422].contains(&refused.code) => {}
            Err(_) => {
                states.mark_changed();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Ok(_) => {}
        }
    }
}

/// The time as the API writes it.
pub(super) fn now() -> String {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}
