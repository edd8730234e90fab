//! Our core on a watch of the API, as kube-proxy is on one: each event is applied and published at once.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use discovery_core::policy::SplitMix64;

use discovery_proxy::{
    Config, Flow, NamespacedName, Proxier, Snapshot,
    object::{EndpointSlice, Service},
};
use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::{core::v1, discovery::v1 as discovery};
use kube::{
    Api,
    runtime::watcher::{self, Event, watcher},
};
use tokio::sync::mpsc;

use super::ours::with_links;
use crate::harness::{Cluster, PATIENCE};

/// A snapshot that was published.
pub(super) struct SnapshotHandle {
    pub(super) snapshot: Arc<Snapshot>,
    /// When the event was there that led to it.
    pub(super) heard: Instant,
    pub(super) published: Instant,
}

impl SnapshotHandle {
    /// What the core took for it.
    pub(super) fn took(&self) -> Duration {
        self.published - self.heard
    }
}

/// The snapshots, in their order, until it is dropped.
pub(super) struct Watch {
    published: mpsc::UnboundedReceiver<SnapshotHandle>,
}

/// What a watch tells, of either kind.
enum Told {
    Service(Box<Event<v1::Service>>),
    Slice(Box<Event<discovery::EndpointSlice>>),
}

impl Watch {
    pub(super) async fn start(cluster: &Cluster, config: Config) -> Self {
        let client = cluster.client();
        let mut proxy = Proxier::new(config);
        for node in Api::<v1::Node>::all(client.clone()).list(&Default::default()).await.unwrap() {
            proxy.apply_node(&with_links(&node));
        }
        let services = watcher(Api::<v1::Service>::all(client.clone()), watcher::Config::default());
        let slices = watcher(Api::<discovery::EndpointSlice>::all(client), watcher::Config::default());
        let services =
            services.filter_map(async |event| event.ok().map(|event| Told::Service(Box::new(event)))).boxed();
        let slices = slices.filter_map(async |event| event.ok().map(|event| Told::Slice(Box::new(event)))).boxed();
        let (send, published) = mpsc::unbounded_channel();
        tokio::spawn(follow(proxy, stream::select(services, slices), send));
        Self { published }
    }

    /// Waits for the first snapshot that `is` what is waited for.
    pub(super) async fn until(&mut self, is: impl Fn(&Snapshot) -> bool) -> SnapshotHandle {
        let found = async {
            loop {
                let published = self.published.recv().await.expect("a snapshot");
                if is(&published.snapshot) {
                    return published;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("the snapshot that is waited for")
    }
}

/// Whether a TCP flow to this address gets one of these pods, whatever is drawn.
pub(super) fn leads_to(snapshot: &Snapshot, to: SocketAddr, pods: &[SocketAddr]) -> bool {
    let flow = Flow::tcp(([10, 244, 200, 1], 40_000).into(), to);
    let Some(port) = snapshot.lookup(&flow) else { return false };
    let usable = &port.usable().cluster;
    let decided = || snapshot.decide(&flow, Instant::now(), &mut SplitMix64::with_seed(1)).endpoint();
    !usable.is_empty() && usable.iter().all(|addr| pods.contains(addr)) && decided().is_some()
}

async fn follow(
    mut proxy: Proxier,
    mut told: impl futures_util::Stream<Item = Told> + Unpin,
    send: mpsc::UnboundedSender<SnapshotHandle>,
) {
    let mut rng = SplitMix64::with_seed(1);
    while let Some(told) = told.next().await {
        let heard = Instant::now();
        match &told {
            Told::Service(event) => apply_service(&mut proxy, event),
            Told::Slice(event) => apply_slice(&mut proxy, event),
        }
        let changes = proxy.sync(heard, &mut rng);
        let published = Instant::now();
        if changes.published && send.send(SnapshotHandle { snapshot: changes.snapshot, heard, published }).is_err() {
            return;
        }
    }
}

fn apply_service(proxy: &mut Proxier, event: &Event<v1::Service>) {
    match event {
        Event::Apply(service) | Event::InitApply(service) => proxy.apply_service(&Service::from(service)),
        Event::Delete(service) => {
            let gone = Service::from(service);
            proxy.delete_service(&NamespacedName::new(&gone.namespace, &gone.name));
        }
        Event::Init | Event::InitDone => {}
    }
}

fn apply_slice(proxy: &mut Proxier, event: &Event<discovery::EndpointSlice>) {
    match event {
        Event::Apply(slice) | Event::InitApply(slice) => proxy.apply_endpoint_slice(&EndpointSlice::from(slice)),
        Event::Delete(slice) => proxy.delete_endpoint_slice(&EndpointSlice::from(slice)),
        Event::Init | Event::InitDone => {}
    }
}
