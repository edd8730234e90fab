//! Our core, fed by a watch on the API as kube-proxy is. Each event is applied and published at once.

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
pub(super) struct PublishedSnapshot {
    pub(super) snapshot: Arc<Snapshot>,
    /// When the event that led to the snapshot arrived.
    pub(super) received: Instant,
    pub(super) published: Instant,
}

impl PublishedSnapshot {
    /// The time that our core took for the event.
    pub(super) fn took(&self) -> Duration {
        self.published - self.received
    }
}

/// A watch that receives the published snapshots in order, until it is dropped.
pub(super) struct SnapshotWatch {
    published: mpsc::UnboundedReceiver<PublishedSnapshot>,
}

/// An event of one of the two watches.
enum ApiEvent {
    Service(Box<Event<v1::Service>>),
    Slice(Box<Event<discovery::EndpointSlice>>),
}

impl SnapshotWatch {
    pub(super) async fn start(cluster: &Cluster, config: Config) -> Self {
        let client = cluster.client();
        let mut proxy = Proxier::new(config);
        for node in Api::<v1::Node>::all(client.clone()).list(&Default::default()).await.unwrap() {
            proxy.apply_node(&with_links(&node));
        }
        let services = watcher(Api::<v1::Service>::all(client.clone()), watcher::Config::default());
        let slices = watcher(Api::<discovery::EndpointSlice>::all(client), watcher::Config::default());
        let services =
            services.filter_map(async |event| event.ok().map(|event| ApiEvent::Service(Box::new(event)))).boxed();
        let slices = slices.filter_map(async |event| event.ok().map(|event| ApiEvent::Slice(Box::new(event)))).boxed();
        let (send, published) = mpsc::unbounded_channel();
        tokio::spawn(follow(proxy, stream::select(services, slices), send));
        Self { published }
    }

    /// Waits for the first snapshot for which `condition` holds.
    pub(super) async fn until(&mut self, condition: impl Fn(&Snapshot) -> bool) -> PublishedSnapshot {
        let found = async {
            loop {
                let published = self.published.recv().await.expect("a snapshot");
                if condition(&published.snapshot) {
                    return published;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("a snapshot with the change")
    }
}

/// Whether a TCP flow to this address can only reach these pods.
pub(super) fn leads_to(snapshot: &Snapshot, to: SocketAddr, pods: &[SocketAddr]) -> bool {
    let flow = Flow::tcp(([10, 244, 200, 1], 40_000).into(), to);
    let Some(port) = snapshot.lookup(&flow) else { return false };
    let usable = &port.usable().cluster;
    let decided = || snapshot.decide(&flow, Instant::now(), &mut SplitMix64::with_seed(1)).endpoint();
    !usable.is_empty() && usable.iter().all(|addr| pods.contains(addr)) && decided().is_some()
}

async fn follow(
    mut proxy: Proxier,
    mut events: impl futures_util::Stream<Item = ApiEvent> + Unpin,
    send: mpsc::UnboundedSender<PublishedSnapshot>,
) {
    let mut rng = SplitMix64::with_seed(1);
    while let Some(event) = events.next().await {
        let received = Instant::now();
        match &event {
            ApiEvent::Service(event) => apply_service(&mut proxy, event),
            ApiEvent::Slice(event) => apply_slice(&mut proxy, event),
        }
        let changes = proxy.sync(received, &mut rng);
        let published = Instant::now();
        if changes.published
            && send.send(PublishedSnapshot { snapshot: changes.snapshot, received, published }).is_err()
        {
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
