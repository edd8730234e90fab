//! The immutable state that readers decide with.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use super::{
    Config, DialAttempts, Flow, HealthCheck, NamespacedName, NoLocalEndpoints, ServicePortInfo, ServicePortName,
    UsableEndpoints,
    config::NodeContext,
    dispatch::RouteMap,
    endpoints::EndpointInfo,
    hairpin::Hairpins,
    mode::Mode,
    object::Protocol,
    route::Route,
    table::Table,
    verdict::{Action, Destination, Reason, Verdict},
};
use discovery_core::policy::Rng;

/// All Services at one moment.
///
/// A snapshot is immutable: hold it as long as needed, [`Proxier::sync`](super::Proxier::sync) creates another one.
///
/// All snapshots share what a mode remembers (clients, the position of a round robin), as all rules share the kernel's
/// memory. In userspace and IPVS mode the endpoints are part of that memory, so even an old snapshot uses the latest
/// endpoints.
#[derive(Debug)]
pub struct Snapshot {
    node: Arc<NodeContext>,
    routes: RouteMap,
    hairpins: Hairpins,
    health: HealthTable,
    no_local: NoLocalEndpoints,
    version: u64,
}

/// The health checks of all Services that have one.
pub(super) type HealthTable = Table<NamespacedName, Arc<HealthCheck>>;

impl Snapshot {
    pub(super) fn new(
        node: Arc<NodeContext>,
        routes: RouteMap,
        hairpins: Hairpins,
        health: HealthTable,
        no_local: NoLocalEndpoints,
        version: u64,
    ) -> Self {
        Self { node, routes, hairpins, health, no_local, version }
    }

    /// Decides a flow.
    #[must_use]
    pub fn decide(&self, flow: &Flow<'_>, now: Instant, rng: &mut dyn Rng) -> Verdict<'_> {
        match self.find(flow) {
            Some(route) => route.decide(&self.node, &self.hairpins, flow, now, rng),
            None => self.unserved_node_port(flow).unwrap_or_else(|| self.unmatched(flow)),
        }
    }

    /// Returns the attempts to connect the client of a flow, in userspace mode.
    ///
    /// Returns `None` for a destination that is not proxied, and in the other modes: there the kernel sends the client
    /// to the endpoint that [`decide`](Self::decide) chooses, and does not try another one.
    #[must_use]
    pub fn dial_attempts(&self, flow: &Flow<'_>) -> Option<DialAttempts> {
        let route = self.find(flow).filter(|_| *self.config().mode() == Mode::Userspace)?;
        Some(DialAttempts::new(route.port.state.clone(), flow.source.ip()))
    }

    /// Returns the Service port that a flow's destination belongs to.
    #[must_use]
    pub fn lookup(&self, flow: &Flow<'_>) -> Option<ServicePortView<'_>> {
        self.find(flow).map(|route| ServicePortView { route })
    }

    /// Returns every address that a Service is reached at, including node ports, in no particular order. SCTP is left
    /// out in userspace mode, which does not proxy it.
    pub fn frontends(&self) -> impl Iterator<Item = Frontend<'_>> {
        let is_userspace = *self.config().mode() == Mode::Userspace;
        let served = self.routes.iter().filter(move |(protocol, ..)| !(is_userspace && *protocol == Protocol::Sctp));
        served.flat_map(|(protocol, ip, port, route)| {
            let at_node = self.node.node_port_listeners().filter(move |_| ip.is_none());
            let address = move |ip: IpAddr| SocketAddr::new(ip, port);
            let view = ServicePortView { route };
            let frontend = move |ip| Frontend { protocol, address: address(ip), port: view };
            ip.into_iter().chain(at_node).map(frontend)
        })
    }

    /// Returns the settings that the proxy was created with.
    #[must_use]
    pub fn config(&self) -> &Config {
        self.node.config()
    }

    /// Returns the health check of a Service; `None` if it has no health check port.
    #[must_use]
    pub fn health_check(&self, service: &NamespacedName) -> Option<&HealthCheck> {
        self.health.get(service).map(AsRef::as_ref)
    }

    /// Returns all health checks, in no particular order.
    pub fn health_checks(&self) -> impl Iterator<Item = &HealthCheck> {
        self.health.iter().map(|(_, check)| check.as_ref())
    }

    /// Returns how many Services have endpoints, but none on this node although their policy is `Local`.
    #[must_use]
    pub const fn no_local_endpoints(&self) -> NoLocalEndpoints {
        self.no_local
    }

    /// Returns the number of this snapshot. It increases by one with each snapshot that a proxy publishes.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    fn find(&self, flow: &Flow<'_>) -> Option<&Route> {
        let (ip, port) = (flow.destination.ip(), flow.destination.port());
        let is_served = port != 0 && !(flow.protocol == Protocol::Sctp && *self.config().mode() == Mode::Userspace);
        if !is_served {
            return None;
        }
        let service = || self.routes.service(ip, port, flow.protocol);
        let node_port = || self.routes.node_port(port, flow.protocol);
        service().filter(|_| !ip.is_unspecified()).or_else(|| node_port().filter(|_| self.node.has_node_ports(ip)))
    }

    /// Decides a flow to a node port at an address of the node that does not serve node ports.
    ///
    /// iptables mode serves node ports at some addresses of the node, but rejects at all of them when the Service has
    /// no endpoints: k/k pkg/proxy/iptables/proxier.go, `KUBE-EXTERNAL-SERVICES` with `--dst-type LOCAL`.
    fn unserved_node_port(&self, flow: &Flow<'_>) -> Option<Verdict<'_>> {
        let (ip, port) = (flow.destination.ip(), flow.destination.port());
        let is_rejected =
            matches!(self.config().mode(), Mode::Iptables(_)) && self.node.is_node_address(ip) && port != 0;
        let route = self.routes.node_port(port, flow.protocol).filter(|_| is_rejected)?;
        route.decide_unserved_address(&self.node, flow)
    }

    /// Decides a flow that no Service port matches. Only nftables mode acts on it: k/k pkg/proxy/nftables/proxier.go,
    /// `cluster-ips-check`.
    fn unmatched(&self, flow: &Flow<'_>) -> Verdict<'_> {
        let ip = flow.destination.ip();
        let (action, reason) = match self.config().mode() {
            Mode::Nftables if self.routes.is_cluster_ip(ip) => (Action::Reject, Reason::UnservedPort),
            Mode::Nftables if self.node.is_in_service_range(ip) => (Action::Drop, Reason::Unallocated),
            _ => (Action::Untouched, Reason::NoService),
        };
        Verdict { action, reason }
    }
}

/// An address that a Service is reached at.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Frontend<'a> {
    /// The transport protocol.
    pub protocol: Protocol,
    /// The address and port number.
    pub address: SocketAddr,
    /// The Service port that the address belongs to.
    pub port: ServicePortView<'a>,
}

/// A Service port in a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct ServicePortView<'a> {
    route: &'a Route,
}

impl<'a> ServicePortView<'a> {
    /// Returns the port's name.
    #[must_use]
    pub fn name(&self) -> &'a ServicePortName {
        &self.route.port.name
    }

    /// Returns the kind of address that was looked up.
    #[must_use]
    pub const fn destination(&self) -> Destination {
        self.route.destination
    }

    /// Returns the settings that the Service gives the port.
    #[must_use]
    pub fn info(&self) -> &'a ServicePortInfo {
        &self.route.port.info
    }

    /// Returns all endpoints, usable or not, in order.
    #[must_use]
    pub fn endpoints(&self) -> &'a [EndpointInfo] {
        &self.route.port.endpoints
    }

    /// Returns the endpoints that flows may use.
    #[must_use]
    pub fn usable(&self) -> &'a UsableEndpoints {
        &self.route.port.usable
    }
}
