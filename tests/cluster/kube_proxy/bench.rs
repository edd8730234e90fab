//! A cluster with the real kube-proxy, to which one world after another is applied.

use std::{
    collections::BTreeSet,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use discovery_proxy::Config;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{Api, ResourceExt as _, api::ListParams};
use serde_json::{Value, json};

use super::{
    network::{Network, Source, TARGETS, TestFlow, node_ip},
    ours::Ours,
    outcome::Outcome,
    send::{ANSWER_LIMIT, SILENCE_LIMIT, send},
    world::{Endpoint, EndpointObjects, NAMESPACE, Protocol, ProxiedService, World},
};
use crate::harness::{Cluster, NODE_NAME};

/// The cluster and the world that was applied to it last.
pub(super) struct Bench {
    pub(super) cluster: Arc<Cluster>,
    pub(super) network: Network,
    /// The settings of our core.
    pub(super) config: Config,
    /// The time limit of a flow that our core expects to be answered or refused.
    pub(super) limit: Duration,
    present: World,
    rounds: u8,
}

/// A flow with an outcome that our core does not allow.
#[derive(Debug)]
pub(super) struct Mismatch {
    pub(super) flow: TestFlow,
    pub(super) real: Outcome,
    pub(super) ours: BTreeSet<Outcome>,
    pub(super) why: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ours: Vec<String> = self.ours.iter().map(ToString::to_string).collect();
        let (ours, Self { flow, real, why, .. }) = (ours.join(" or "), self);
        write!(f, "# {flow}\n#   kube-proxy: {real}\n#   our core: {ours} ({why})")
    }
}

/// The outcomes of the flows that were sent, and those that our core does not allow.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    pub(super) outcomes: Vec<(TestFlow, Outcome)>,
    pub(super) mismatches: Vec<Mismatch>,
}

impl Bench {
    pub(super) async fn new(cluster: Arc<Cluster>, config: Config, services: u8) -> Self {
        let one = |number| marker(number, Ipv4Addr::UNSPECIFIED);
        let node_ports = (1..=services).flat_map(|at| [0, 1].map(|port| one(at).node_port(port)));
        let network = Network::new(&cluster, node_ports).unwrap();
        cluster.apply(&format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {NAMESPACE}}}}}")).await;
        let bench = Self { cluster, network, config, limit: ANSWER_LIMIT, present: World::default(), rounds: 0 };
        bench.set_zone().await;
        bench
    }

    /// Changes the node's zone label, so that kube-proxy reads it, and waits until kube-proxy follows zone hints.
    ///
    /// kube-proxy 1.36.3 may start without its zone: its handler for the node's label may run before the proxier is
    /// registered, and later only reacts to changes (cmd/kube-proxy/app/server.go, pkg/proxy/config/config.go
    /// `handleNodeEvent`).
    async fn set_zone(&self) {
        for zone in ["zone-x", "zone-a"] {
            let labels = json!({"metadata": {"labels": {"topology.kubernetes.io/zone": zone}}});
            self.cluster.patch("v1", "Node", "", NODE_NAME, labels).await;
        }
        let pods = &self.network.pods;
        let zones = ["zone-a"].into_iter().chain(std::iter::repeat("zone-x"));
        let endpoints = pods.iter().zip(zones).map(|(ip, zone)| Endpoint { zones: vec![zone], ..Endpoint::at(*ip) });
        let hinted = ProxiedService { endpoints: endpoints.collect(), ..ProxiedService::plain(255) };
        for object in hinted.objects() {
            self.cluster.apply_object(&object).await;
        }
        let to = SocketAddr::new(hinted.cluster_ip().into(), 80);
        let probe = TestFlow { protocol: Protocol::Tcp, source: Source::Node(node_ip()), to };
        let (network, first) = (&self.network, SocketAddr::new(pods[0].into(), TARGETS[0]));
        let follows = || async move {
            let outcomes = send(network, &[(probe, SILENCE_LIMIT); 12]).await;
            outcomes.iter().all(|outcome| matches!(outcome, Outcome::Pod { addr, .. } if *addr == first))
        };
        self.cluster.until("kube-proxy follows hints", follows).await;
        self.delete(&hinted).await;
    }

    /// Changes the cluster's objects to those of `world`, and waits until kube-proxy has processed all of them.
    pub(super) async fn apply(&mut self, world: &World) {
        let same = |one: &&ProxiedService| world.services.iter().any(|other| other.is_same_service(one));
        let gone: Vec<&ProxiedService> = self.present.services.iter().filter(|one| !same(one)).collect();
        // One after the other: with concurrent deletions, the API server may leak the allocation of a node port.
        for service in gone {
            self.delete(service).await;
        }
        let old = |new: &ProxiedService| self.present.services.iter().find(|old| new.is_same_service(old));
        for new in &world.services {
            self.create(new, old(new)).await;
        }
        self.present = world.clone();
        self.mirrored().await;
        self.mark().await;
    }

    /// Sends flows and compares their outcomes with our core's.
    pub(super) async fn compare(&self, flows: &[TestFlow]) -> Comparison {
        let mut ours = Ours::read(&self.cluster, self.config.clone()).await;
        let possible: Vec<_> = flows.iter().map(|flow| ours.possible(flow)).collect();
        let limit = |ours: &BTreeSet<Outcome>| if ours.contains(&Outcome::Silent) { SILENCE_LIMIT } else { self.limit };
        let sent = flows.iter().zip(&possible).map(|(flow, (outcomes, _))| (*flow, limit(outcomes)));
        let sent: Vec<_> = sent.collect();
        let mut compared = Comparison::default();
        for ((flow, (ours, why)), real) in flows.iter().zip(possible).zip(send(&self.network, &sent).await) {
            compared.outcomes.push((*flow, real.clone()));
            if !ours.contains(&real) {
                compared.mismatches.push(Mismatch { flow: *flow, real, ours, why });
            }
        }
        compared
    }

    async fn create(&self, service: &ProxiedService, old: Option<&ProxiedService>) {
        let before = old.map_or_else(Vec::new, ProxiedService::objects);
        let objects = service.objects();
        for object in objects.iter().filter(|object| !before.contains(object)) {
            self.cluster.apply_object(object).await;
        }
        for object in before.iter().filter(|old| objects.iter().all(|new| new["metadata"] != old["metadata"])) {
            self.cluster.delete_object(object).await;
        }
        if let Some(status) = service.status().filter(|_| old.is_none()) {
            self.cluster.apply_status(&status).await;
        }
    }

    async fn delete(&self, service: &ProxiedService) {
        for object in service.objects().iter().rev() {
            self.cluster.delete_object(object).await;
        }
    }

    /// Waits until the controller has mirrored all Endpoints objects into slices and deleted the slices of old ones.
    async fn mirrored(&self) {
        let wanted = |service: &ProxiedService| -> BTreeSet<(String, bool)> {
            let of = service.endpoints.iter().filter(|_| service.endpoint_objects == EndpointObjects::Endpoints);
            of.map(|endpoint| (endpoint.ip.to_string(), endpoint.ready.unwrap_or(true))).collect()
        };
        let wanted: BTreeSet<(String, (String, bool))> = self
            .present
            .services
            .iter()
            .flat_map(|service| wanted(service).into_iter().map(|endpoint| (service.name(), endpoint)))
            .collect();
        self.cluster
            .until("mirrored Endpoints", || async {
                let api = Api::<EndpointSlice>::namespaced(self.cluster.client(), NAMESPACE);
                let by = "endpointslice.kubernetes.io/managed-by=endpointslicemirroring-controller.k8s.io";
                let Ok(slices) = api.list(&ListParams::default().labels(by)).await else { return false };
                mirrored(&slices.items) == wanted
            })
            .await;
    }

    /// Writes a marker, a new Service that comes last. When it answers, kube-proxy has processed everything that came
    /// before it in both of its watches.
    async fn mark(&mut self) {
        self.rounds = self.rounds % 150 + 1;
        let marker = marker(255 - self.rounds, self.network.pods[0]);
        for object in marker.objects() {
            self.cluster.apply_object(&object).await;
        }
        let to = SocketAddr::new(marker.cluster_ip().into(), 80);
        let probe = TestFlow { protocol: Protocol::Tcp, source: Source::Node(node_ip()), to };
        let network = &self.network;
        let answered =
            || async move { matches!(send(network, &[(probe, SILENCE_LIMIT)]).await[0], Outcome::Pod { .. }) };
        self.cluster.until("kube-proxy's next sync", answered).await;
        self.delete(&marker).await;
    }
}

impl ProxiedService {
    /// Whether the two differ in nothing but their endpoints.
    fn is_same_service(&self, other: &Self) -> bool {
        let service = |one: &Self| {
            (one.objects().swap_remove(0), one.status(), one.endpoint_objects == EndpointObjects::Endpoints)
        };
        service(self) == service(other)
    }
}

/// The Service that [`Bench::mark`] writes.
fn marker(number: u8, pod: Ipv4Addr) -> ProxiedService {
    ProxiedService { endpoints: vec![Endpoint::at(pod)], ..ProxiedService::plain(number) }
}

fn mirrored(slices: &[EndpointSlice]) -> BTreeSet<(String, (String, bool))> {
    let mut all = BTreeSet::new();
    for slice in slices {
        let service = slice.labels().get("kubernetes.io/service-name").cloned().unwrap_or_default();
        for endpoint in slice.endpoints.iter().flatten() {
            let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
            all.extend(endpoint.addresses.iter().map(|ip| (service.clone(), (ip.clone(), ready))));
        }
    }
    all
}

/// A world as a manifest.
pub(super) fn manifest(world: &World) -> String {
    let of = |service: &ProxiedService| {
        let mut objects = service.objects();
        objects.extend(service.status());
        objects
    };
    let yaml = |object: &Value| serde_saphyr::to_string(object).unwrap_or_else(|_| json!(object).to_string());
    let objects: Vec<String> = world.services.iter().flat_map(of).map(|object| yaml(&object)).collect();
    objects.join("---\n")
}
