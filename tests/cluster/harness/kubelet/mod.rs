//! A small kubelet. It binds pods to the only node. For each pod it creates namespaces, starts the process, probes
//! readiness, writes the status, and stops the process when the pod is deleted.
//!
//! It does not support several containers, images, liveness and startup probes, or volumes other than the service
//! account's.

mod environment;
mod life;
mod probe;
mod sandbox;
mod status;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{
    Api, Client, ResourceExt as _,
    api::PostParams,
    runtime::watcher::{self, Event},
};
use tokio::sync::watch;

pub(crate) use self::sandbox::Sandbox;
use super::{components::NODE_NAME, keys::Keys, node::SharedNode, options::Options, programs::Programs};

/// The kubelet and its pods.
#[derive(Debug)]
pub(crate) struct Kubelet {
    pub(super) node: SharedNode,
    pub(super) options: Options,
    pub(super) keys: Keys,
    /// The `PATH` of the pods' programs.
    pub(super) path: String,
    workers: Mutex<BTreeMap<String, Worker>>,
    sandboxes: Mutex<BTreeMap<String, Arc<Sandbox>>>,
    /// The Services as last listed, because containers also start while the API server is down.
    services: Mutex<Vec<Service>>,
}

/// The channel to the task of one pod.
#[derive(Debug)]
struct Worker {
    latest: watch::Sender<Latest>,
}

/// The latest state of a pod's API object.
#[derive(Clone, Debug)]
pub(super) enum Latest {
    There(Box<Pod>),
    /// The object is gone, so the process has to end at once.
    Gone,
}

impl Kubelet {
    pub(crate) fn new(node: SharedNode, programs: &Programs, options: Options, keys: Keys) -> Arc<Self> {
        let inherited = std::env::var("PATH").unwrap_or_default();
        let own =
            std::path::Path::new(env!("CARGO_BIN_EXE_test-pod")).parent().map(|folder| folder.display().to_string());
        let path = format!("{}:{}:{inherited}", own.unwrap_or_default(), programs.folder().display());
        Arc::new(Self {
            node,
            options,
            keys,
            path,
            workers: Mutex::default(),
            sandboxes: Mutex::default(),
            services: Mutex::default(),
        })
    }

    /// Follows the pods of all namespaces until the runtime stops.
    pub(crate) async fn run(self: Arc<Self>, client: Client) {
        let mut events = watcher::watcher(Api::<Pod>::all(client.clone()), watcher::Config::default()).boxed();
        let mut listed = BTreeSet::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(pod)) => {
                    listed.insert(pod.uid().unwrap_or_default());
                    self.see(&client, pod);
                }
                Ok(Event::InitDone) => self.forget(|uid| !listed.contains(uid)),
                Ok(Event::Apply(pod)) => self.see(&client, pod),
                Ok(Event::Delete(pod)) => self.forget(|uid| pod.uid().as_deref() == Some(uid)),
                // The API server is down. Retry soon, so that tests do not measure our own backoff.
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// The pod `namespace/name`, once its Linux namespaces exist.
    pub(crate) fn sandbox(&self, name: &str) -> Option<Arc<Sandbox>> {
        self.sandboxes.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn see(self: &Arc<Self>, client: &Client, pod: Pod) {
        let node_name = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        if node_name.is_none() {
            if pod.metadata.deletion_timestamp.is_none() {
                tokio::spawn(bind(client.clone(), pod));
            }
            return;
        }
        let uid = pod.uid().unwrap_or_default();
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(worker) = workers.get(&uid) {
            worker.latest.send_replace(Latest::There(Box::new(pod)));
        } else if node_name == Some(NODE_NAME) {
            let (latest, changes) = watch::channel(Latest::There(Box::new(pod)));
            workers.insert(uid, Worker { latest });
            tokio::spawn(life::live(Arc::clone(self), client.clone(), changes));
        }
    }

    fn forget(&self, gone: impl Fn(&str) -> bool) {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.retain(|uid, worker| {
            if gone(uid) {
                worker.latest.send_replace(Latest::Gone);
            }
            !gone(uid)
        });
    }

    fn put_sandbox(&self, name: &str, sandbox: &Arc<Sandbox>) {
        self.sandboxes.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), Arc::clone(sandbox));
    }

    fn remove_sandbox(&self, name: &str, sandbox: &Arc<Sandbox>) {
        let mut all = self.sandboxes.lock().unwrap_or_else(PoisonError::into_inner);
        // The next pod of a StatefulSet has the same name and must stay.
        if all.get(name).is_some_and(|other| Arc::ptr_eq(other, sandbox)) {
            all.remove(name);
        }
    }

    async fn services(&self, client: &Client) -> Vec<Service> {
        let found = Api::<Service>::all(client.clone()).list(&kube::api::ListParams::default()).await;
        let mut last = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(list) = found {
            *last = list.items;
        }
        last.clone()
    }
}

/// Binds a pod to the only node, in namespaces of a scheduler.
async fn bind(client: Client, pod: Pod) {
    let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
    let target = serde_json::json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
        "target": {"apiVersion": "v1", "kind": "Node", "name": NODE_NAME},
    });
    let api = Api::<Pod>::namespaced(client, &namespace);
    // The API refuses only pods that are bound already or gone. After any other error, the next list shows the pod
    // again.
    let params = PostParams::default();
    api.create_subresource::<_, serde_json::Value>("binding", &name, &params, &target).await.ok();
}

/// `namespace/name`.
fn full_name(pod: &Pod) -> String {
    format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any())
}
