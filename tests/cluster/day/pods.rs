//! When pods come and go, as a watch of the API tells it.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Instant,
};

use futures_util::StreamExt as _;
use k8s_openapi::api::{
    core::v1::Pod,
    discovery::v1::{Endpoint, EndpointSlice},
};
use kube::{
    Api,
    runtime::watcher::{self, Event},
};

use super::report::Lives;
use crate::harness::{Cluster, is_ready};

/// The lives of the pods with `app: app`.
pub(super) struct Watch {
    lives: Arc<Mutex<Lives>>,
    task: [tokio::task::JoinHandle<()>; 2],
}

impl Watch {
    pub(super) fn start(cluster: &Cluster, namespace: &str, app: &str) -> Self {
        let lives: Arc<Mutex<Lives>> = Arc::default();
        let config = watcher::Config::default().labels(&format!("app={app}"));
        let mut events = watcher::watcher(Api::<Pod>::namespaced(cluster.client(), namespace), config).boxed();
        let told = lives.clone();
        let task = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                // Those that were there already are not news.
                if let Ok(Event::Apply(pod)) = event {
                    told.lock().unwrap().see(&pod);
                }
            }
        });
        let task =
            [task, tokio::spawn(follow_slices(cluster.client(), namespace.to_owned(), app.to_owned(), lives.clone()))];
        Self { lives, task }
    }

    /// From now on.
    pub(super) fn forget(&self) {
        *self.lives.lock().unwrap() = Lives::default();
    }

    pub(super) fn lives(&self) -> Lives {
        self.lives.lock().unwrap().clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// Notes when the slices of the Service began and ceased to call an address ready.
async fn follow_slices(client: kube::Client, namespace: String, service: String, lives: Arc<Mutex<Lives>>) {
    let config = watcher::Config::default().labels(&format!("kubernetes.io/service-name={service}"));
    let mut events = watcher::watcher(Api::<EndpointSlice>::namespaced(client, &namespace), config).boxed();
    let mut before = BTreeSet::new();
    while let Some(event) = events.next().await {
        let Ok(Event::Apply(slice) | Event::InitApply(slice)) = event else { continue };
        let ready = |endpoint: &&Endpoint| endpoint.conditions.as_ref().is_none_or(|c| c.ready != Some(false));
        let now: BTreeSet<IpAddr> = slice
            .endpoints
            .iter()
            .flatten()
            .filter(ready)
            .filter_map(|endpoint| endpoint.addresses.first()?.parse().ok())
            .collect();
        let mut lives = lives.lock().unwrap();
        lives.listed.extend(now.difference(&before).map(|ip| (*ip, Instant::now())));
        lives.unlisted.extend(before.difference(&now).map(|ip| (*ip, Instant::now())));
        before = now;
    }
}

impl Lives {
    fn see(&mut self, pod: &Pod) {
        // By address: the next pod of a StatefulSet has the same name.
        let status = pod.status.as_ref();
        let Some(ip) = status.and_then(|status| status.pod_ip.as_ref()).and_then(|ip| ip.parse().ok()) else { return };
        if pod.metadata.deletion_timestamp.is_some() {
            self.leaving.entry(ip).or_insert_with(Instant::now);
        } else if is_ready(pod) {
            self.ready.entry(ip).or_insert_with(Instant::now);
        }
    }
}
