//! When pods become ready and terminate, as a watch on the API reports it.

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

use super::report::PodTimes;
use crate::harness::{Cluster, is_ready};

/// A watch on the pods with `app: app` and on the slices of their Service.
pub(super) struct PodWatch {
    times: Arc<Mutex<PodTimes>>,
    task: [tokio::task::JoinHandle<()>; 2],
}

impl PodWatch {
    pub(super) fn start(cluster: &Cluster, namespace: &str, app: &str) -> Self {
        let times: Arc<Mutex<PodTimes>> = Arc::default();
        let config = watcher::Config::default().labels(&format!("app={app}"));
        let mut events = watcher::watcher(Api::<Pod>::namespaced(cluster.client(), namespace), config).boxed();
        let own = times.clone();
        let task = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                // The pods of the first list existed before and are not changes.
                if let Ok(Event::Apply(pod)) = event {
                    own.lock().unwrap().record(&pod);
                }
            }
        });
        let task =
            [task, tokio::spawn(follow_slices(cluster.client(), namespace.to_owned(), app.to_owned(), times.clone()))];
        Self { times, task }
    }

    /// Forgets the changes so far.
    pub(super) fn forget(&self) {
        *self.times.lock().unwrap() = PodTimes::default();
    }

    /// The changes since the last call of [`forget`](Self::forget).
    pub(super) fn times(&self) -> PodTimes {
        self.times.lock().unwrap().clone()
    }
}

impl Drop for PodWatch {
    fn drop(&mut self) {
        self.task.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// Records when the slices of the Service start and stop to list an address as ready.
async fn follow_slices(client: kube::Client, namespace: String, service: String, times: Arc<Mutex<PodTimes>>) {
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
        let mut times = times.lock().unwrap();
        times.listed.extend(now.difference(&before).map(|ip| (*ip, Instant::now())));
        times.unlisted.extend(before.difference(&now).map(|ip| (*ip, Instant::now())));
        before = now;
    }
}

impl PodTimes {
    fn record(&mut self, pod: &Pod) {
        // Keyed by address, because the next pod of a StatefulSet has the same name.
        let status = pod.status.as_ref();
        let Some(ip) = status.and_then(|status| status.pod_ip.as_ref()).and_then(|ip| ip.parse().ok()) else { return };
        if pod.metadata.deletion_timestamp.is_some() {
            self.terminating.entry(ip).or_insert_with(Instant::now);
        } else if is_ready(pod) {
            self.ready.entry(ip).or_insert_with(Instant::now);
        }
    }
}
