//! Access to the API server: a client, and functions that apply manifests.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use kube::{
    Api, Client, Config,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

use super::{
    Fallible,
    cluster::Cluster,
    components::NODE_NAME,
    keys::{ADMIN_TOKEN, Keys},
    node::NODE_IP,
};

/// The kinds without a namespace.
const CLUSTER_WIDE: [&str; 4] = ["Namespace", "Node", "ClusterRole", "ClusterRoleBinding"];

/// A client with administrator rights.
pub(super) fn client(keys: &Keys) -> Fallible<Client> {
    let mut config = Config::new("https://127.0.0.1:6443".parse()?);
    config.root_cert = Some(vec![keys.authority_der.clone()]);
    config.auth_info.token = Some(ADMIN_TOKEN.to_owned().into());
    Ok(Client::try_from(config)?)
}

/// Completes when the API server is ready and has created the `default` namespace.
pub(super) async fn is_ready(client: &Client) {
    loop {
        let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
        if client.request_text(request).await.is_ok() {
            let default = Api::<k8s_openapi::api::core::v1::Namespace>::all(client.clone());
            if default.get_opt("default").await.is_ok_and(|found| found.is_some()) {
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Creates the only node, as its kubelet would register it.
pub(super) async fn make_node(client: &Client) -> Fallible<()> {
    let node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": NODE_NAME, "labels": {"topology.kubernetes.io/zone": "zone-a"}},
        "spec": {"podCIDR": "10.244.0.0/16"},
        "status": {
            "addresses": [{"type": "InternalIP", "address": NODE_IP}],
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}],
        },
    });
    apply(client, &node, false).await?;
    apply(client, &node, true).await
}

impl Cluster {
    /// Applies all objects of a manifest, in the order in which they appear.
    pub(crate) async fn apply(&self, manifest: &str) {
        let objects: Vec<Value> = serde_saphyr::from_multiple(manifest).unwrap_or_else(|error| panic!("{error}"));
        for object in objects.iter().filter(|object| !object.is_null()) {
            self.apply_object(object).await;
        }
    }

    /// Applies all objects of a manifest, in `namespace` unless an object names another one.
    pub(crate) async fn apply_in(&self, namespace: &str, manifest: &str) {
        let objects: Vec<Value> = serde_saphyr::from_multiple(manifest).unwrap_or_else(|error| panic!("{error}"));
        for mut object in objects.into_iter().filter(|object| !object.is_null()) {
            if object["metadata"]["namespace"].is_null() {
                object["metadata"]["namespace"] = json!(namespace);
            }
            self.apply_object(&object).await;
        }
    }

    /// Applies one object.
    pub(crate) async fn apply_object(&self, object: &Value) {
        if let Err(error) = apply(&self.client(), object, false).await {
            panic!("{error}: {object}");
        }
    }

    /// Creates a new object, which is faster than applying it.
    pub(crate) async fn create_object(&self, object: &Value) {
        let new = serde_json::from_value(object.clone()).unwrap();
        if let Err(error) = api_of(&self.client(), object).create(&PostParams::default(), &new).await {
            panic!("{error}: {object}");
        }
    }

    /// Applies the status of an object.
    pub(crate) async fn apply_status(&self, object: &Value) {
        if let Err(error) = apply(&self.client(), object, true).await {
            panic!("{error}: {object}");
        }
    }

    /// Deletes an object, or does nothing if it does not exist.
    pub(crate) async fn delete_object(&self, object: &Value) {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        match api_of(&self.client(), object).delete(name, &DeleteParams::default()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => panic!("{error}: {object}"),
        }
    }

    /// Restarts a workload as `kubectl rollout restart` does.
    pub(crate) async fn restart(&self, kind: &str, namespace: &str, name: &str) {
        static RESTARTS: AtomicU32 = AtomicU32::new(0);
        let nth = RESTARTS.fetch_add(1, Ordering::Relaxed).to_string();
        let template = json!({"metadata": {"annotations": {"tests/restarted": nth}}});
        self.patch("apps/v1", kind, namespace, name, json!({"spec": {"template": template}})).await;
    }

    /// Merges a patch into an object.
    pub(crate) async fn patch(&self, version: &str, kind: &str, namespace: &str, name: &str, patch: Value) {
        let object = json!({"apiVersion": version, "kind": kind, "metadata": {"namespace": namespace, "name": name}});
        api_of(&self.client(), &object).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }
}

pub(super) async fn apply(client: &Client, object: &Value, status: bool) -> Fallible<()> {
    let name = object["metadata"]["name"].as_str().ok_or("the object has no name")?;
    let (api, params) = (api_of(client, object), PatchParams::apply("tests").force());
    let patch = Patch::Apply(object);
    let applied =
        if status { api.patch_status(name, &params, &patch).await } else { api.patch(name, &params, &patch).await };
    Ok(applied.map(|_| ())?)
}

fn api_of(client: &Client, object: &Value) -> Api<DynamicObject> {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    let kind = object["kind"].as_str().unwrap_or_default();
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    match object["metadata"]["namespace"].as_str() {
        _ if CLUSTER_WIDE.contains(&kind) => Api::all_with(client.clone(), &resource),
        namespace => Api::namespaced_with(client.clone(), namespace.unwrap_or("default"), &resource),
    }
}
