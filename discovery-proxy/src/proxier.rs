//! Takes objects in and publishes snapshots.
//!
//! Source: k/k pkg/proxy/servicechangetracker.go, endpointschangetracker.go and each mode's `syncProxyRules`; test
//! `TestSyncProxyRulesRepeated`, whose bar this follows: a change touches the ports of its Service and nothing else,
//! and what changes nothing publishes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use super::{
    Changes, Config, NamespacedName, NoLocalEndpoints, ServicePortInfo, ServicePortName, Snapshot,
    dispatch::Dispatch,
    endpoints::EndpointSliceCache,
    hairpin::Hairpins,
    health::HealthCheck,
    node_address::NodeAddresses,
    object::{EndpointSlice, Endpoints, Node, Service, ZONE_LABEL},
    program::{Program, Programs, Replaced},
    programmed::Here,
    route::routes,
    service_port::service_ports,
    table::Table,
    topology::Place,
};
use discovery_core::policy::Rng;

/// One family's proxy on one node.
///
/// Apply what a watch delivers, in any order and as often as it comes; then [`sync`](Self::sync). A dual-stack node has
/// two of these, which share nothing.
#[derive(Debug)]
pub struct Proxier {
    here: Arc<Here>,
    node: Option<Node>,
    services: BTreeMap<NamespacedName, Vec<(ServicePortName, ServicePortInfo)>>,
    slices: EndpointSliceCache,
    /// Slices that stand for Endpoints objects, to take them out again.
    mirrored: BTreeMap<NamespacedName, Vec<EndpointSlice>>,
    programs: Programs,
    dispatch: Dispatch,
    hairpins: Hairpins,
    health: Table<NamespacedName, Arc<HealthCheck>>,
    no_local: NoLocalEndpoints,
    dirty: BTreeSet<NamespacedName>,
    moved: bool,
    /// Services with IPVS destinations that drain.
    draining: BTreeSet<NamespacedName>,
    snapshot: Arc<Snapshot>,
    /// Former snapshots that somebody still reads. Whoever lets go of the last reference to one frees the memory that
    /// no newer one shares: that is the proxy's work, not a reader's.
    retired: Vec<Arc<Snapshot>>,
}

impl Proxier {
    /// A proxy that knows of nothing yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let addresses = NodeAddresses::new(&config, None);
        let slices = EndpointSliceCache::new(config.family, &config.node_name);
        let here = Arc::new(Here { config, addresses });
        let (dispatch, health) = (Dispatch::default(), Table::default());
        let snapshot = Snapshot {
            here: here.clone(),
            frontends: dispatch.table.clone(),
            cluster_ips: dispatch.cluster_ips.clone(),
            hairpins: Hairpins::default(),
            health: health.clone(),
            no_local: NoLocalEndpoints::default(),
            version: 0,
        };
        Self {
            here,
            node: None,
            services: BTreeMap::new(),
            slices,
            mirrored: BTreeMap::new(),
            programs: Programs::default(),
            dispatch,
            hairpins: Hairpins::default(),
            health,
            no_local: NoLocalEndpoints::default(),
            dirty: BTreeSet::new(),
            moved: false,
            draining: BTreeSet::new(),
            snapshot: Arc::new(snapshot),
            retired: Vec::new(),
        }
    }

    /// A Service was added or has changed.
    pub fn apply_service(&mut self, service: &Service) {
        let name = NamespacedName::new(&service.namespace, &service.name);
        let ports = service_ports(service, self.here.config.family);
        if self.services.get(&name).map_or(&[][..], Vec::as_slice) == ports {
            return;
        }
        if ports.is_empty() {
            self.services.remove(&name);
        } else {
            self.services.insert(name.clone(), ports);
        }
        self.dirty.insert(name);
    }

    /// A Service was deleted.
    pub fn delete_service(&mut self, name: &NamespacedName) {
        if self.services.remove(name).is_some() {
            self.dirty.insert(name.clone());
        }
    }

    /// A slice was added or has changed.
    pub fn apply_endpoint_slice(&mut self, slice: &EndpointSlice) {
        self.dirty.extend(self.slices.update(slice, false));
    }

    /// A slice was deleted; only its namespace and name matter.
    pub fn delete_endpoint_slice(&mut self, slice: &EndpointSlice) {
        self.dirty.extend(self.slices.update(slice, true));
    }

    /// An Endpoints object was added or has changed. Apply either these or slices of a Service, as the control plane
    /// makes slices of them.
    pub fn apply_endpoints(&mut self, endpoints: &Endpoints) {
        let name = NamespacedName::new(&endpoints.namespace, &endpoints.name);
        let new = endpoints.to_slices();
        let old = self.mirrored.insert(name, new.clone()).unwrap_or_default();
        let gone = old.iter().filter(|slice| new.iter().all(|one| one.name != slice.name));
        gone.for_each(|slice| self.delete_endpoint_slice(slice));
        new.iter().for_each(|slice| self.apply_endpoint_slice(slice));
    }

    /// An Endpoints object was deleted.
    pub fn delete_endpoints(&mut self, name: &NamespacedName) {
        let old = self.mirrored.remove(name).unwrap_or_default();
        old.iter().for_each(|slice| self.delete_endpoint_slice(slice));
    }

    /// A Node was added or has changed; others than the proxy's own are ignored.
    pub fn apply_node(&mut self, node: &Node) {
        if node.name == self.here.config.node_name && self.node.as_ref() != Some(node) {
            self.set_node(Some(node.clone()));
        }
    }

    /// A Node was deleted.
    pub fn delete_node(&mut self, name: &str) {
        if self.node.as_ref().is_some_and(|node| node.name == name) {
            self.set_node(None);
        }
    }

    /// What was published last.
    #[must_use]
    pub const fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Publishes what has been applied since the last time. Call it once for many objects, as at the start. Former
    /// snapshots are freed here once nobody reads them any more, never by a reader.
    ///
    /// `rng` shuffles endpoints in userspace mode, `now` starts the time of what drains.
    pub fn sync(&mut self, now: Instant, rng: &mut dyn Rng) -> Changes {
        let mut changes = Changes::new(self.snapshot.clone());
        changes.published = std::mem::take(&mut self.moved);
        let mut replaced = Vec::new();
        for name in std::mem::take(&mut self.dirty) {
            replaced.extend(self.sync_service(&name, now, rng, &mut changes));
        }
        let new = replaced.iter().filter_map(|replaced| replaced.new.as_ref());
        let mut routes = routes(new, &self.here.config).into_iter();
        for Replaced { old, new } in &replaced {
            let route = new.as_ref().and_then(|_| routes.next());
            self.dispatch.replace(old.as_deref(), route);
            self.hairpins.replace(&self.here.config.mode, old.as_deref(), new.as_deref());
        }
        self.retired.retain(|old| Arc::strong_count(old) > 1);
        if changes.published {
            let new = Arc::new(Snapshot {
                here: self.here.clone(),
                frontends: self.dispatch.table.clone(),
                cluster_ips: self.dispatch.cluster_ips.clone(),
                hairpins: self.hairpins.clone(),
                health: self.health.clone(),
                no_local: self.no_local,
                version: self.snapshot.version + 1,
            });
            self.retired.push(std::mem::replace(&mut self.snapshot, new));
            changes.snapshot = self.snapshot.clone();
        }
        changes
    }

    /// Looks after IPVS destinations that drain: those without connections left are deleted. Call it after a sync, and
    /// again when it says; `None` is not before the next sync. Other modes have nothing to look after.
    pub fn tick(&mut self, now: Instant) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        self.draining.retain(|name| {
            let at = self.programs.tick(name, now);
            next = next.into_iter().chain(at).min();
            at.is_some()
        });
        next
    }

    /// Brings the ports of one Service up to date; returns those that have changed.
    fn sync_service(
        &mut self,
        name: &NamespacedName,
        now: Instant,
        rng: &mut dyn Rng,
        changes: &mut Changes,
    ) -> Vec<Replaced> {
        let zone = self.node.as_ref().and_then(|node| node.labels.get(ZONE_LABEL));
        let program = Program {
            here: &self.here,
            place: Place { node: &self.here.config.node_name, zone: zone.map(String::as_str) },
            service: name,
            ports: self.services.get(name).map_or(&[], Vec::as_slice),
            slices: &self.slices,
            now,
        };
        let step = self.programs.sync(&program, rng);
        self.no_local.replace(step.no_local.0, step.no_local.1);
        let health = step.health.map(Arc::new);
        if self.health.get(name) != health.as_ref() {
            match health {
                Some(health) => self.health.insert(name.clone(), health),
                None => self.health.remove(name),
            };
            changes.published = true;
        }
        if step.draining {
            self.draining.insert(name.clone());
        }
        changes.add(&step.replaced);
        step.replaced
    }

    fn set_node(&mut self, node: Option<Node>) {
        let config = self.here.config.clone();
        let addresses = NodeAddresses::new(&config, node.as_ref());
        self.node = node;
        self.here = Arc::new(Here { config, addresses });
        self.dirty.extend(self.services.keys().cloned());
        self.moved = true;
    }
}
