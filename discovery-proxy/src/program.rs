//! From the API objects of one Service to ports that can decide, and what changed on the way.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Instant};

use super::{
    HealthCheck, NamespacedName, NoLocalEndpoints, ServicePortInfo, ServicePortName, Snapshot, StaleFlows,
    UsableEndpoints,
    config::NodeContext,
    endpoints::{EndpointInfo, EndpointSliceCache, Listed, merged},
    mode::{Destinations, Mode, ModeState, Round, VirtualServers},
    object::Protocol,
    topology::categorize,
};
use discovery_core::policy::Rng;

/// One Service port with its endpoints.
#[derive(Debug)]
pub(super) struct PortState {
    pub(super) name: ServicePortName,
    pub(super) info: ServicePortInfo,
    /// All endpoints, usable or not, in order.
    pub(super) endpoints: Box<[EndpointInfo]>,
    pub(super) usable: UsableEndpoints,
    pub(super) state: Arc<ModeState>,
}

/// The result of a [`sync`](super::Proxier::sync).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Changes {
    /// The snapshot for readers to use from now on.
    pub snapshot: Arc<Snapshot>,
    /// Whether `snapshot` is new. If not, it is the same as after the previous sync.
    pub published: bool,
    /// The Service ports that were added, removed, or have other endpoints.
    pub touched: Vec<ServicePortName>,
    /// The UDP flows to forget.
    pub stale_flows: StaleFlows,
    /// What is most likely a mistake in a Service that was applied since the last sync, for a log: kube-proxy is silent
    /// about it.
    pub warnings: Vec<String>,
}

impl Changes {
    /// Adds the changes to the ports of one Service.
    pub(super) fn add(&mut self, ports: &[PortChange]) {
        if ports.is_empty() {
            return;
        }
        let old = ports.iter().filter_map(|change| change.old.as_deref());
        let new = ports.iter().filter_map(|change| change.new.as_deref());
        self.published = true;
        self.touched.extend(ports.iter().filter_map(PortChange::name).cloned());
        self.stale_flows.add(old, new);
    }
}

/// A port that has changed.
#[derive(Debug)]
pub(super) struct PortChange {
    pub(super) old: Option<Arc<PortState>>,
    pub(super) new: Option<Arc<PortState>>,
}

impl PortChange {
    fn name(&self) -> Option<&ServicePortName> {
        self.new.as_ref().or(self.old.as_ref()).map(|port| &port.name)
    }
}

/// The result of bringing one Service up to date.
#[derive(Debug)]
pub(super) struct ServiceChange {
    /// The ports that have changed.
    pub(super) ports: Vec<PortChange>,
    /// What the Service contributed to the counters before, and contributes now.
    pub(super) no_local: (NoLocalEndpoints, NoLocalEndpoints),
    pub(super) health: Option<HealthCheck>,
    /// Whether IPVS destinations are draining.
    pub(super) draining: bool,
}

/// The inputs for the ports of one Service.
struct ServiceInput<'a> {
    node: &'a NodeContext,
    service: &'a NamespacedName,
    ports: &'a [(ServicePortName, ServicePortInfo)],
    now: Instant,
}

type Ports = BTreeMap<ServicePortName, Arc<PortState>>;

/// The round robin of a port, in userspace mode.
#[derive(Debug)]
struct RoundRobin {
    state: Arc<ModeState>,
    /// The ready endpoints in order, as often as the slices list them.
    listed: Vec<SocketAddr>,
}

/// The ports of all Services.
#[derive(Debug, Default)]
pub(super) struct Programs {
    services: BTreeMap<NamespacedName, Ports>,
    /// In userspace mode, a port can have a round robin before it has a Service.
    rounds: BTreeMap<NamespacedName, BTreeMap<ServicePortName, RoundRobin>>,
}

impl Programs {
    /// Brings one Service up to date.
    pub(super) fn sync(
        &mut self,
        service: &NamespacedName,
        ports: &[(ServicePortName, ServicePortInfo)],
        slices: &EndpointSliceCache,
        node: &NodeContext,
        now: Instant,
        rng: &mut dyn Rng,
    ) -> ServiceChange {
        let input = ServiceInput { node, service, ports, now };
        let old = self.services.remove(service).unwrap_or_default();
        let is_userspace = *node.config().mode() == Mode::Userspace;
        let listed = slices.listed(service);
        if is_userspace {
            self.sync_rounds(&input, &old, &listed, rng);
        }
        let mut endpoints: BTreeMap<_, _> = listed.into_iter().map(|(name, listed)| (name, merged(&listed))).collect();
        let health = input.health(&endpoints);
        let mut new = Ports::new();
        for (name, info) in ports {
            let endpoints = endpoints.remove(name).unwrap_or_default();
            let usable = match is_userspace {
                true => self.all_listed(service, name),
                false => categorize(&endpoints, info, node),
            };
            let before = old.get(name);
            let port = self.port(&input, before, (name, info), (endpoints, usable));
            input.update_mode_state(before, &port);
            new.insert(name.clone(), port);
        }
        let no_local = match is_userspace {
            true => Default::default(),
            false => (NoLocalEndpoints::from_ports(old.values()), NoLocalEndpoints::from_ports(new.values())),
        };
        let draining = tick(&new, now).is_some();
        let change = ServiceChange { ports: port_changes(&old, &new), no_local, health, draining };
        if !new.is_empty() {
            self.services.insert(service.clone(), new);
        }
        change
    }

    /// Deletes IPVS destinations that have drained; returns when to call again.
    pub(super) fn tick(&self, service: &NamespacedName, now: Instant) -> Option<Instant> {
        tick(self.services.get(service)?, now)
    }

    /// The new state of a port: the old one if nothing has changed.
    fn port(
        &self,
        input: &ServiceInput<'_>,
        old: Option<&Arc<PortState>>,
        (name, info): (&ServicePortName, &ServicePortInfo),
        (endpoints, usable): (Box<[EndpointInfo]>, UsableEndpoints),
    ) -> Arc<PortState> {
        let is_same = |old: &&Arc<PortState>| old.info == *info && old.usable == usable && old.endpoints == endpoints;
        if let Some(same) = old.filter(is_same) {
            return same.clone();
        }
        let round = || self.rounds.get(input.service)?.get(name).map(|round| round.state.clone());
        let state = old.map(|old| old.state.clone()).or_else(round);
        let state = state.unwrap_or_else(|| Arc::new(ModeState::new(input.node.config().mode(), Some(info))));
        let (name, info) = (name.clone(), info.clone());
        Arc::new(PortState { name, info, endpoints, usable, state })
    }

    /// Userspace mode: gives each port its ready endpoints as the slices list them, including duplicates.
    fn sync_rounds(
        &mut self,
        input: &ServiceInput<'_>,
        old: &Ports,
        listed: &BTreeMap<&ServicePortName, Vec<Listed<'_>>>,
        rng: &mut dyn Rng,
    ) {
        let rounds = self.rounds.entry(input.service.clone()).or_default();
        let mode = input.node.config().mode();
        let new = |info| RoundRobin { state: Arc::new(ModeState::new(mode, info)), listed: Vec::new() };
        for (name, info) in input.ports {
            let round = rounds.entry(name.clone()).or_insert_with(|| new(Some(info)));
            round.state.set_affinity(info.affinity.is_some());
        }
        let stays = |name: &ServicePortName| input.ports.iter().any(|(port, _)| port == name);
        let deleted = |name: &ServicePortName| old.contains_key(name) && !stays(name);
        rounds.retain(|name, _| !deleted(name));
        for name in listed.keys().copied().filter(|name| !deleted(name)) {
            rounds.entry(name.clone()).or_insert_with(|| new(None));
        }
        for (name, round) in rounds.iter_mut() {
            let ready = listed.get(name).into_iter().flatten().filter(|listed| listed.is_ready());
            let ready: Vec<SocketAddr> = ready.map(Listed::addr).collect();
            if let Some(change) = Round::new(&round.listed, &ready, rng) {
                round.state.set_round(change);
                round.listed = ready;
            }
        }
        if rounds.is_empty() {
            self.rounds.remove(input.service);
        }
    }

    /// Userspace mode ignores policies and hints: every ready endpoint is usable.
    fn all_listed(&self, service: &NamespacedName, port: &ServicePortName) -> UsableEndpoints {
        let round = self.rounds.get(service).and_then(|rounds| rounds.get(port));
        let mut cluster = round.map_or_else(Vec::new, |round| round.listed.clone());
        cluster.dedup();
        UsableEndpoints { has_any: !cluster.is_empty(), cluster: cluster.into(), ..UsableEndpoints::default() }
    }
}

impl ServiceInput<'_> {
    fn health(&self, endpoints: &BTreeMap<&ServicePortName, Box<[EndpointInfo]>>) -> Option<HealthCheck> {
        let port = self.ports.iter().map(|(_, info)| info.health_check_node_port).find(|port| *port != 0)?;
        Some(HealthCheck::new(self.service, port, endpoints.values().flatten()))
    }

    /// Applies the change to what the mode remembers of the port.
    fn update_mode_state(&self, old: Option<&Arc<PortState>>, port: &Arc<PortState>) {
        match port.state.virtual_servers() {
            // The addresses of the node may have changed, even if the port has not.
            Some(servers) => self.sync_virtual_servers(servers, port),
            None if old.is_some_and(|old| Arc::ptr_eq(old, port)) => {}
            None => port.state.set_usable(old.map(AsRef::as_ref), port),
        }
    }

    /// IPVS mode: one virtual server for each address of the port, and for each node address that serves its node port.
    fn sync_virtual_servers(&self, servers: &VirtualServers, port: &PortState) {
        let (info, usable) = (&port.info, &port.usable);
        let destinations = |local: bool| {
            let wanted = if local && !usable.local.is_empty() { &usable.local } else { &usable.cluster };
            Destinations::new(wanted, info.protocol == Protocol::Tcp, info.affinity)
        };
        let (internal, external) = (destinations(info.internal_policy_local), destinations(info.external_policy_local));
        let mut wanted = vec![(SocketAddr::new(info.cluster_ip, info.port), internal)];
        let others = info.virtual_ips().skip(1).map(|ip| SocketAddr::new(ip, info.port));
        let node_ips = self.node.node_port_addresses().iter().filter(|_| info.node_port != 0);
        let node_ports = node_ips.map(|ip| SocketAddr::new(*ip, info.node_port));
        for addr in others.chain(node_ports) {
            if wanted.iter().all(|(one, _)| *one != addr) {
                wanted.push((addr, external));
            }
        }
        servers.sync(&wanted, self.now);
    }
}

fn port_changes(old: &Ports, new: &Ports) -> Vec<PortChange> {
    let removed = old.iter().filter(|(name, _)| !new.contains_key(*name));
    let removed = removed.map(|(_, port)| PortChange { old: Some(port.clone()), new: None });
    let current = new.iter().map(|(name, port)| PortChange { old: old.get(name).cloned(), new: Some(port.clone()) });
    let differs = |change: &PortChange| match (&change.old, &change.new) {
        (Some(old), Some(new)) => !Arc::ptr_eq(old, new),
        _ => true,
    };
    removed.chain(current).filter(differs).collect()
}

fn tick(ports: &Ports, now: Instant) -> Option<Instant> {
    ports.values().filter_map(|port| port.state.virtual_servers()?.tick(now)).min()
}
