//! A small kubelet: it binds pods to the one node, and for each it makes namespaces, starts the process, asks for
//! readiness, writes the status, and ends the process when the pod is deleted.
//!
//! Not in it: more than one container, images, volumes but the service account's, liveness and start-up probes.

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

/// What the kubelet knows.
#[derive(Debug)]
pub(crate) struct Kubelet {
    pub(super) node: SharedNode,
    pub(super) options: Options,
    pub(super) keys: Keys,
    /// Where the programs of pods are looked for first.
    pub(super) path: String,
    workers: Mutex<BTreeMap<String, Worker>>,
    sandboxes: Mutex<BTreeMap<String, Arc<Sandbox>>>,
    /// The last list of Services that could be had: containers start while the API is away, too.
    services: Mutex<Vec<Service>>,
}

/// The task of one pod, and how it hears of changes.
#[derive(Debug)]
struct Worker {
    latest: watch::Sender<Latest>,
}

/// What a pod's task is to do.
#[derive(Clone, Debug)]
pub(super) enum Latest {
    /// The pod as the API has it.
    There(Box<Pod>),
    /// The object is gone, so the process has to go at once.
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

    /// Follows the pods of all namespaces for as long as the runtime runs.
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
                // The API is away; a fraction of a second, so that what a test measures is not our own back-off.
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// The pod `namespace/name`, once its namespaces are there.
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
        // A StatefulSet's next pod has the same name.
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

/// There is one node, so there is nothing for a scheduler to decide.
async fn bind(client: Client, pod: Pod) {
    let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
    let target = serde_json::json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
        "target": {"apiVersion": "v1", "kind": "Node", "name": NODE_NAME},
    });
    let api = Api::<Pod>::namespaced(client, &namespace);
    // Already bound or gone are the only refusals there are; else the next list shows the pod again.
    let params = PostParams::default();
    api.create_subresource::<_, serde_json::Value>("binding", &name, &params, &target).await.ok();
}

/// `namespace/name`.
fn full_name(pod: &Pod) -> String {
    format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any())
}
