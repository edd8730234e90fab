//! What readers see.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use super::{
    Config, Dial, Flow, HealthCheck, NamespacedName, NoLocalEndpoints, ServicePortInfo, ServicePortName,
    UsableEndpoints,
    dispatch::Key,
    endpoints::EndpointInfo,
    hairpin::Hairpins,
    mode::Mode,
    object::Protocol,
    programmed::Here,
    route::Route,
    table::Table,
    verdict::{Action, Destination, Reason, Verdict},
};
use discovery_core::policy::Rng;

/// All Services at one moment. Immutable: hold it as long as you like, [`Proxier::sync`](super::Proxier::sync) makes
/// another one.
///
/// What a mode remembers (clients, the round) is shared by all snapshots, as the kernel's memory is by all its rules.
/// In userspace and IPVS mode the endpoints themselves are part of it, and even an old snapshot knows the latest.
#[derive(Debug)]
pub struct Snapshot {
    pub(super) here: Arc<Here>,
    pub(super) frontends: Table<Key, Route>,
    pub(super) cluster_ips: Table<Key, Route>,
    pub(super) hairpins: Hairpins,
    pub(super) health: Table<NamespacedName, Arc<HealthCheck>>,
    pub(super) no_local: NoLocalEndpoints,
    pub(super) version: u64,
}

impl Snapshot {
    /// What becomes of a flow.
    #[must_use]
    pub fn decide(&self, flow: &Flow<'_>, now: Instant, rng: &mut dyn Rng) -> Verdict<'_> {
        match self.find(flow) {
            Some(found) => found.decide(self, flow, now, rng),
            None => self.closed_node_port(flow).unwrap_or_else(|| self.unmatched(flow)),
        }
    }

    /// The attempts to connect a flow's client, in userspace mode; `None` in other modes, where the kernel sends the
    /// client where [`decide`](Self::decide) says and nobody tries again, and for what is not proxied.
    #[must_use]
    pub fn dial(&self, flow: &Flow<'_>) -> Option<Dial> {
        let found = self.find(flow).filter(|_| self.here.config.mode == Mode::Userspace)?;
        Some(Dial::new(found.port.cell.clone(), flow.source.ip()))
    }

    /// The port of a Service that a flow's destination belongs to, and how.
    #[must_use]
    pub fn lookup(&self, flow: &Flow<'_>) -> Option<ServicePortView<'_>> {
        self.find(flow).map(|found| ServicePortView { found })
    }

    /// All addresses that Services are reached by, in no particular order, with those of node ports. What userspace
    /// mode does not proxy (SCTP) is left out.
    pub fn frontends(&self) -> impl Iterator<Item = Frontend<'_>> {
        let is_served = |key: &Key| key.protocol() != Protocol::Sctp || self.here.config.mode != Mode::Userspace;
        self.frontends.iter().filter(move |(key, _)| is_served(key)).flat_map(|(key, found)| {
            let on_nodes = key.service_address().is_none();
            let node = self.here.addresses.listened_at().filter(move |_| on_nodes);
            let node = node.map(|ip| SocketAddr::new(ip, key.port()));
            let frontend = |address| Frontend { protocol: key.protocol(), address, port: ServicePortView { found } };
            key.service_address().into_iter().chain(node).map(frontend)
        })
    }

    /// The settings that it was made with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.here.config
    }

    /// What the health check port of a Service answers; `None` for a Service that has none.
    #[must_use]
    pub fn health_check(&self, service: &NamespacedName) -> Option<&HealthCheck> {
        self.health.get(service).map(AsRef::as_ref)
    }

    /// All health checks, in no particular order.
    pub fn health_checks(&self) -> impl Iterator<Item = &HealthCheck> {
        self.health.values().map(AsRef::as_ref)
    }

    /// How many Services have endpoints, but none here where policy `Local` wants them.
    #[must_use]
    pub const fn no_local_endpoints(&self) -> NoLocalEndpoints {
        self.no_local
    }

    /// Goes up by one with each snapshot of a proxy.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    fn find(&self, flow: &Flow<'_>) -> Option<&Route> {
        let (ip, port) = (flow.destination.ip(), flow.destination.port());
        let is_served = port != 0 && !(flow.protocol == Protocol::Sctp && self.here.config.mode == Mode::Userspace);
        if !is_served {
            return None;
        }
        let service = || self.frontends.get(&Key::service(ip, port, flow.protocol));
        let node_port = || self.frontends.get(&Key::node_port(port, flow.protocol));
        service()
            .filter(|_| !ip.is_unspecified())
            .or_else(|| node_port().filter(|_| self.here.addresses.has_node_ports(ip)))
    }

    /// A node port at an address of the node that has none. iptables mode opens node ports at some of the addresses, and
    /// refuses at all of them where a Service has no endpoints: k/k pkg/proxy/iptables/proxier.go,
    /// `KUBE-EXTERNAL-SERVICES` with `--dst-type LOCAL`.
    fn closed_node_port(&self, flow: &Flow<'_>) -> Option<Verdict<'_>> {
        let (ip, port) = (flow.destination.ip(), flow.destination.port());
        let is_local = ip.is_loopback() || self.here.addresses.all.contains(&ip);
        let refuses = matches!(self.here.config.mode, Mode::Iptables(_)) && is_local && port != 0;
        self.frontends.get(&Key::node_port(port, flow.protocol)).filter(|_| refuses)?.refuse_elsewhere(&self.here, flow)
    }

    /// Only nftables mode answers for what is nobody's: k/k pkg/proxy/nftables/proxier.go, `cluster-ips-check`.
    fn unmatched(&self, flow: &Flow<'_>) -> Verdict<'_> {
        let (ip, config) = (flow.destination.ip(), &self.here.config);
        let is_cluster_ip = || self.cluster_ips.get(&Key::cluster_ip(ip)).is_some();
        let is_in_range = || config.service_cidrs.iter().any(|range| range.contains(ip));
        match config.mode {
            Mode::Nftables if is_cluster_ip() => Verdict::new(Action::Reject, Reason::UnservedPort),
            Mode::Nftables if is_in_range() => Verdict::new(Action::Drop, Reason::Unallocated),
            _ => Verdict::new(Action::Untouched, Reason::NoService),
        }
    }
}

/// An address that a Service is reached by.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Frontend<'a> {
    /// The protocol.
    pub protocol: Protocol,
    /// The address and number.
    pub address: SocketAddr,
    /// Whose it is.
    pub port: ServicePortView<'a>,
}

/// What is known of a port of a Service.
#[derive(Clone, Copy, Debug)]
pub struct ServicePortView<'a> {
    found: &'a Route,
}

impl<'a> ServicePortView<'a> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'a ServicePortName {
        &self.found.port.name
    }

    /// Which of its addresses was looked up.
    #[must_use]
    pub const fn destination(&self) -> Destination {
        self.found.destination
    }

    /// What its Service says.
    #[must_use]
    pub fn info(&self) -> &'a ServicePortInfo {
        &self.found.port.info
    }

    /// All its endpoints, usable or not, in order.
    #[must_use]
    pub fn endpoints(&self) -> &'a [EndpointInfo] {
        &self.found.port.endpoints
    }

    /// The endpoints that flows may use.
    #[must_use]
    pub fn usable(&self) -> &'a UsableEndpoints {
        &self.found.port.usable
    }
}
