//! From what the API says of one Service to ports that can decide.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Instant};

use super::{
    HealthCheck, NamespacedName, NoLocalEndpoints, ServicePortInfo, ServicePortName, UsableEndpoints,
    endpoints::{EndpointInfo, EndpointSliceCache},
    mode::{
        Cell, Mode,
        ipvs::{Destinations, Servers},
    },
    object::Protocol,
    programmed::{Here, Programmed},
    topology::{Place, categorize},
};
use discovery_core::policy::Rng;

/// What the ports of one Service follow from.
pub(super) struct Program<'a> {
    pub(super) here: &'a Here,
    pub(super) place: Place<'a>,
    pub(super) service: &'a NamespacedName,
    pub(super) ports: &'a [(ServicePortName, ServicePortInfo)],
    pub(super) slices: &'a EndpointSliceCache,
    pub(super) now: Instant,
}

/// What has become of the ports of one Service.
#[derive(Debug)]
pub(super) struct Step {
    /// Those that have changed.
    pub(super) replaced: Vec<Replaced>,
    /// What the Service counted for, and counts for.
    pub(super) no_local: (NoLocalEndpoints, NoLocalEndpoints),
    pub(super) health: Option<HealthCheck>,
    /// Whether IPVS destinations drain.
    pub(super) draining: bool,
}

/// A port that has changed.
#[derive(Debug)]
pub(super) struct Replaced {
    pub(super) old: Option<Arc<Programmed>>,
    pub(super) new: Option<Arc<Programmed>>,
}

impl Replaced {
    pub(super) fn name(&self) -> Option<&ServicePortName> {
        self.new.as_ref().or(self.old.as_ref()).map(|port| &port.name)
    }
}

type Ports = BTreeMap<ServicePortName, Arc<Programmed>>;
/// Ready endpoints as the slices list them.
type Rounds = BTreeMap<ServicePortName, Vec<SocketAddr>>;

/// The ports of all Services.
#[derive(Debug, Default)]
pub(super) struct Programs {
    services: BTreeMap<NamespacedName, Ports>,
    /// In userspace mode, a port may have a round before it has a Service.
    rounds: BTreeMap<NamespacedName, BTreeMap<ServicePortName, Arc<Cell>>>,
}

impl Programs {
    /// Brings one Service up to date.
    pub(super) fn sync(&mut self, program: &Program<'_>, rng: &mut dyn Rng) -> Step {
        let old = self.services.remove(program.service).unwrap_or_default();
        let is_userspace = program.here.config.mode == Mode::Userspace;
        let listed = if is_userspace { self.sync_rounds(program, &old, rng) } else { Rounds::new() };
        let mut endpoints = program.slices.endpoints_map(program.service);
        let health = health(program, &endpoints);
        let mut new = Ports::new();
        for (name, info) in program.ports {
            let endpoints = endpoints.remove(name).unwrap_or_default();
            let usable = match is_userspace {
                true => all_ready(listed.get(name).map_or(&[], Vec::as_slice)),
                false => categorize(&endpoints, info, program.place),
            };
            let port = self.port(program, old.get(name), (name, info), (endpoints, usable));
            program.follow(&port);
            new.insert(name.clone(), port);
        }
        let count =
            |ports: &Ports| NoLocalEndpoints::of_service(&ports.values().map(AsRef::as_ref).collect::<Vec<_>>());
        let step = Step {
            replaced: replaced(&old, &new),
            no_local: match program.here.config.mode {
                Mode::Userspace => Default::default(),
                _ => (count(&old), count(&new)),
            },
            health,
            draining: tick(&new, program.now).is_some(),
        };
        if !new.is_empty() {
            self.services.insert(program.service.clone(), new);
        }
        step
    }

    /// Looks after IPVS destinations that drain.
    pub(super) fn tick(&self, service: &NamespacedName, now: Instant) -> Option<Instant> {
        tick(self.services.get(service)?, now)
    }

    /// The port as it is to be: the old one, if nothing has changed.
    fn port(
        &self,
        program: &Program<'_>,
        old: Option<&Arc<Programmed>>,
        (name, info): (&ServicePortName, &ServicePortInfo),
        (endpoints, usable): (Vec<EndpointInfo>, UsableEndpoints),
    ) -> Arc<Programmed> {
        let is_same =
            |old: &&Arc<Programmed>| old.info == *info && old.usable == usable && *old.endpoints == *endpoints;
        if let Some(same) = old.filter(is_same) {
            return same.clone();
        }
        let round = || self.rounds.get(program.service)?.get(name).cloned();
        let cell = old.map(|old| old.cell.clone()).or_else(round);
        let cell = cell.unwrap_or_else(|| Arc::new(Cell::new(&program.here.config.mode, Some(info))));
        let (name, info) = (name.clone(), info.clone());
        Arc::new(Programmed { name, info, endpoints: endpoints.into(), usable, cell })
    }

    /// Userspace mode: gives each port its endpoints as the slices list them, duplicates and all. Returns the lists.
    fn sync_rounds(&mut self, program: &Program<'_>, old: &Ports, rng: &mut dyn Rng) -> Rounds {
        let mut listed = Rounds::new();
        for (name, endpoints) in program.slices.unmerged(program.service) {
            let ready = endpoints.filter(|endpoint| endpoint.ready).map(|endpoint| endpoint.addr);
            listed.entry(name.clone()).or_default().extend(ready);
        }
        let rounds = self.rounds.entry(program.service.clone()).or_default();
        let mode = &program.here.config.mode;
        for (name, info) in program.ports {
            let round = rounds.entry(name.clone()).or_insert_with(|| Arc::new(Cell::new(mode, Some(info))));
            round.set_affinity(info.affinity.is_some());
        }
        let stays = |name: &ServicePortName| program.ports.iter().any(|(port, _)| port == name);
        let deleted = |name: &ServicePortName| old.contains_key(name) && !stays(name);
        rounds.retain(|name, _| !deleted(name));
        for name in listed.keys().filter(|name| !deleted(name)) {
            rounds.entry(name.clone()).or_insert_with(|| Arc::new(Cell::new(mode, None)));
        }
        for (name, round) in rounds.iter() {
            round.set_endpoints(listed.get(name).map_or(&[], Vec::as_slice), program.now, rng);
        }
        if rounds.is_empty() {
            self.rounds.remove(program.service);
        }
        listed
    }
}

impl Program<'_> {
    /// Lets what the mode remembers follow the change.
    fn follow(&self, port: &Programmed) {
        match port.cell.servers() {
            Some(servers) => self.sync_servers(servers, port),
            None => port.cell.follow(&port.info, &port.usable),
        }
    }

    /// IPVS mode: one virtual server for each address of the port, and of the node for its node port.
    fn sync_servers(&self, servers: &Servers, port: &Programmed) {
        let (info, usable) = (&port.info, &port.usable);
        let destinations = |local: bool| Destinations {
            wanted: if local && !usable.local.is_empty() { &usable.local } else { &usable.cluster },
            graceful: info.protocol == Protocol::Tcp,
            timeout: info.affinity,
        };
        let (internal, external) = (destinations(info.internal_policy_local), destinations(info.external_policy_local));
        let mut wanted = vec![(SocketAddr::new(info.cluster_ip, info.port), internal)];
        let others = info.virtual_ips().skip(1).map(|ip| SocketAddr::new(ip, info.port));
        let node_ips = self.here.addresses.with_node_ports.iter().filter(|_| info.node_port != 0);
        let node_ports = node_ips.map(|ip| SocketAddr::new(*ip, info.node_port));
        for addr in others.chain(node_ports) {
            if wanted.iter().all(|(one, _)| *one != addr) {
                wanted.push((addr, external));
            }
        }
        servers.sync(&wanted, self.now);
    }
}

fn replaced(old: &Ports, new: &Ports) -> Vec<Replaced> {
    let gone = old.iter().filter(|(name, _)| !new.contains_key(*name));
    let gone = gone.map(|(_, port)| Replaced { old: Some(port.clone()), new: None });
    let changed = new.iter().map(|(name, port)| Replaced { old: old.get(name).cloned(), new: Some(port.clone()) });
    let differs = |replaced: &Replaced| match (&replaced.old, &replaced.new) {
        (Some(old), Some(new)) => !Arc::ptr_eq(old, new),
        _ => true,
    };
    gone.chain(changed).filter(differs).collect()
}

fn tick(ports: &Ports, now: Instant) -> Option<Instant> {
    ports.values().filter_map(|port| port.cell.servers()?.tick(now)).min()
}

fn health(program: &Program<'_>, endpoints: &BTreeMap<ServicePortName, Vec<EndpointInfo>>) -> Option<HealthCheck> {
    let port = program.ports.iter().map(|(_, info)| info.health_check_node_port).find(|port| *port != 0)?;
    Some(HealthCheck::new(program.service, port, endpoints.values().flatten()))
}

/// Userspace mode knows of no policies and hints.
fn all_ready(listed: &[SocketAddr]) -> UsableEndpoints {
    let mut cluster = listed.to_vec();
    cluster.sort_by_cached_key(ToString::to_string);
    cluster.dedup();
    UsableEndpoints { has_any: !cluster.is_empty(), cluster: cluster.into(), ..UsableEndpoints::default() }
}
