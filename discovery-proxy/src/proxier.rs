//! Takes API objects in and publishes snapshots.
//!
//! Source: k/k pkg/proxy/servicechangetracker.go, endpointschangetracker.go and each mode's `syncProxyRules`; test
//! `TestSyncProxyRulesRepeated`, which sets the bar: a change touches the ports of its Service and no others, and
//! applying an unchanged object publishes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use super::{
    Config, NamespacedName, NoLocalEndpoints, ServicePortInfo, ServicePortName, Snapshot, StaleFlows,
    config::NodeContext,
    dispatch::Dispatch,
    endpoints::EndpointSliceCache,
    hairpin::Hairpins,
    object::{EndpointSlice, Endpoints, IpFamily, Node, Service},
    program::{Changes, PortChange, Programs},
    route::routes,
    service_port::service_ports,
    snapshot::HealthTable,
};
use discovery_core::policy::Rng;

/// The proxy for one IP family on one node.
///
/// Apply objects as a watch delivers them, in any order and as often as they come; then call [`sync`](Self::sync). A
/// dual-stack node has two proxies, which share nothing.
#[derive(Debug)]
pub struct Proxier {
    context: Arc<NodeContext>,
    node: Option<Node>,
    services: BTreeMap<NamespacedName, Vec<(ServicePortName, ServicePortInfo)>>,
    slices: EndpointSliceCache,
    /// The slices that mirror Endpoints objects, so that they can be removed again.
    mirrored: BTreeMap<NamespacedName, Vec<EndpointSlice>>,
    programs: Programs,
    dispatch: Dispatch,
    hairpins: Hairpins,
    health: HealthTable,
    no_local: NoLocalEndpoints,
    /// The Services to bring up to date at the next sync.
    dirty: BTreeSet<NamespacedName>,
    /// Whether the node has changed since the last sync.
    node_changed: bool,
    /// For the next sync.
    warnings: Vec<String>,
    /// The Services with IPVS destinations that are draining.
    draining: BTreeSet<NamespacedName>,
    snapshot: Arc<Snapshot>,
    /// Former snapshots that readers still hold. Dropping the last reference to a snapshot frees the memory that no
    /// newer one shares; the proxy does that work, so that readers do not have to.
    retired: Vec<Arc<Snapshot>>,
}

impl Proxier {
    /// Creates a proxy without any objects.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let context = Arc::new(NodeContext::new(config, None));
        let slices = EndpointSliceCache::new(context.config().family(), context.name());
        let (dispatch, hairpins) = (Dispatch::default(), Hairpins::default());
        let (health, no_local) = (HealthTable::default(), NoLocalEndpoints::default());
        let snapshot =
            Snapshot::new(context.clone(), dispatch.routes().clone(), hairpins.clone(), health.clone(), no_local, 0);
        Self {
            context,
            node: None,
            services: BTreeMap::new(),
            slices,
            mirrored: BTreeMap::new(),
            programs: Programs::default(),
            dispatch,
            hairpins,
            health,
            no_local,
            dirty: BTreeSet::new(),
            node_changed: false,
            warnings: Vec::new(),
            draining: BTreeSet::new(),
            snapshot: Arc::new(snapshot),
            retired: Vec::new(),
        }
    }

    /// Applies a Service that was added or changed.
    pub fn apply_service(&mut self, service: &Service) {
        let name = NamespacedName::new(&service.namespace, &service.name);
        let ports = service_ports(service, self.context.config().family());
        if self.services.get(&name).map_or(&[][..], Vec::as_slice) == ports {
            return;
        }
        self.warnings.extend(source_range_warning(service, &ports, self.context.config()));
        if ports.is_empty() {
            self.services.remove(&name);
        } else {
            self.services.insert(name.clone(), ports);
        }
        self.dirty.insert(name);
    }

    /// Removes a Service that was deleted.
    pub fn delete_service(&mut self, name: &NamespacedName) {
        if self.services.remove(name).is_some() {
            self.dirty.insert(name.clone());
        }
    }

    /// Applies an EndpointSlice that was added or changed.
    pub fn apply_endpoint_slice(&mut self, slice: &EndpointSlice) {
        self.dirty.extend(self.slices.update(slice, false));
    }

    /// Removes an EndpointSlice that was deleted. Only its namespace and name are read.
    pub fn delete_endpoint_slice(&mut self, slice: &EndpointSlice) {
        self.dirty.extend(self.slices.update(slice, true));
    }

    /// Applies an Endpoints object that was added or changed.
    ///
    /// The control plane mirrors Endpoints objects as slices, so apply one or the other for a Service, not both.
    pub fn apply_endpoints(&mut self, endpoints: &Endpoints) {
        let name = NamespacedName::new(&endpoints.namespace, &endpoints.name);
        let new = endpoints.to_slices();
        let old = self.mirrored.insert(name, new.clone()).unwrap_or_default();
        let removed = old.iter().filter(|slice| new.iter().all(|one| one.name != slice.name));
        removed.for_each(|slice| self.delete_endpoint_slice(slice));
        new.iter().for_each(|slice| self.apply_endpoint_slice(slice));
    }

    /// Removes an Endpoints object that was deleted.
    pub fn delete_endpoints(&mut self, name: &NamespacedName) {
        let old = self.mirrored.remove(name).unwrap_or_default();
        old.iter().for_each(|slice| self.delete_endpoint_slice(slice));
    }

    /// Applies a Node that was added or changed. Nodes other than the proxy's own are ignored.
    pub fn apply_node(&mut self, node: &Node) {
        if node.name == self.context.name() && self.node.as_ref() != Some(node) {
            self.set_node(Some(node.clone()));
        }
    }

    /// Removes a Node that was deleted.
    pub fn delete_node(&mut self, name: &str) {
        if self.node.as_ref().is_some_and(|node| node.name == name) {
            self.set_node(None);
        }
    }

    /// Returns the latest snapshot.
    #[must_use]
    pub const fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Publishes what has been applied since the last sync.
    ///
    /// Call it once for many objects, as at the start. It also frees former snapshots that no reader holds any more;
    /// readers never do. `rng` shuffles endpoints in userspace mode, and `now` starts the drain time of IPVS
    /// destinations.
    pub fn sync(&mut self, now: Instant, rng: &mut dyn Rng) -> Changes {
        let mut changes = Changes {
            snapshot: self.snapshot.clone(),
            published: std::mem::take(&mut self.node_changed),
            touched: Vec::new(),
            stale_flows: StaleFlows::default(),
            warnings: std::mem::take(&mut self.warnings),
        };
        let mut ports = Vec::new();
        for name in std::mem::take(&mut self.dirty) {
            ports.extend(self.sync_service(&name, now, rng, &mut changes));
        }
        let new = ports.iter().filter_map(|change| change.new.as_ref());
        let mut routes = routes(new, self.context.config()).into_iter();
        for PortChange { old, new } in &ports {
            let route = new.as_ref().and_then(|_| routes.next());
            self.dispatch.replace(old.as_deref(), route);
            self.hairpins.replace(self.context.config().mode(), old.as_deref(), new.as_deref());
        }
        self.retired.retain(|old| Arc::strong_count(old) > 1);
        if changes.published {
            let new = Arc::new(Snapshot::new(
                self.context.clone(),
                self.dispatch.routes().clone(),
                self.hairpins.clone(),
                self.health.clone(),
                self.no_local,
                self.snapshot.version() + 1,
            ));
            self.retired.push(std::mem::replace(&mut self.snapshot, new));
            changes.snapshot = self.snapshot.clone();
        }
        changes
    }

    /// Deletes IPVS destinations that have drained, and returns when to call it again.
    ///
    /// Call it after a sync, and again at the time that it returns; `None` means not before the next sync. The other
    /// modes have nothing to drain.
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
    ) -> Vec<PortChange> {
        let ports = self.services.get(name).map_or(&[][..], Vec::as_slice);
        let change = self.programs.sync(name, ports, &self.slices, &self.context, now, rng);
        self.no_local.replace(change.no_local.0, change.no_local.1);
        let health = change.health.map(Arc::new);
        if self.health.get(name) != health.as_ref() {
            match health {
                Some(health) => self.health.insert(name.clone(), health),
                None => self.health.remove(name),
            };
            changes.published = true;
        }
        if change.draining {
            self.draining.insert(name.clone());
        }
        changes.add(&change.ports);
        change.ports
    }

    fn set_node(&mut self, node: Option<Node>) {
        self.context = Arc::new(NodeContext::new(self.context.config().clone(), node.as_ref()));
        self.node = node;
        self.dirty.extend(self.services.keys().cloned());
        self.node_changed = true;
    }
}

/// What to say about a Service whose source ranges restrict nothing.
fn source_range_warning(
    service: &Service,
    ports: &[(ServicePortName, ServicePortInfo)],
    config: &Config,
) -> Option<String> {
    let (_, info) = ports.iter().find(|(_, info)| info.source_ranges_unusable)?;
    if info.load_balancer_vips.is_empty() {
        return None;
    }
    let ranges: Vec<String> =
        service.load_balancer_source_ranges.iter().map(|range| format!("`{}`", range.escape_debug())).collect();
    let admits = if config.strict_source_ranges() { "no one" } else { "everyone, as with kube-proxy" };
    Some(format!(
        "Service {}/{}: no entry of loadBalancerSourceRanges ({}) is a range of {} addresses, so the addresses of the load \
         balancer admit {admits}; write a range such as `10.0.0.0/8`",
        service.namespace,
        service.name,
        ranges.join(", "),
        match config.family() {
            IpFamily::V4 => "IPv4",
            IpFamily::V6 => "IPv6",
        },
    ))
}
