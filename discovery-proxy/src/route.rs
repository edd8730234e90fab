//! The decision for a flow to a Service port.
//!
//! Source for masquerading and traffic policies: k/k pkg/proxy/iptables/proxier.go (`syncProxyRules`, the external and
//! cluster policy chains), nftables/proxier.go, ipvs/proxier.go (ipsets), tests `TestClusterIPGeneral`,
//! `TestLoadBalancer`, `TestNodePorts`, `TestExternalTrafficPolicyLocal`, `TestInternalTrafficPolicy`.
//!
//! | destination | policy | sender | endpoints | masqueraded |
//! |---|---|---|---|---|
//! | cluster IP | any | any | by internal policy | all traffic with `--masquerade-all`; senders that are not pods, if a detector is set |
//! | others | Cluster | any | cluster set | yes |
//! | others | Local | pod, if a detector is set | cluster set: the short circuit | no |
//! | others | Local | this node | cluster set | yes |
//! | others | Local | any other | local set | no |
//!
//! An endpoint that is itself the client is masqueraded as well: see `hairpin.rs`.
//!
//! IPVS mode has no short circuit: a virtual server has one set of destinations, and external traffic with policy
//! `Local` is never masqueraded. Userspace mode ignores policies and source ranges, and its endpoints always see the
//! node's address.

use std::{
    net::{SocketAddr, SocketAddrV4, SocketAddrV6},
    sync::Arc,
    time::Instant,
};

use super::{
    Config, Flow, ServicePortName,
    config::NodeContext,
    flow::Sender,
    hairpin::Hairpins,
    mode::{Mode, uniform},
    object::{IpFamily, Protocol},
    program::PortState,
    verdict::{Action, Choice, Destination, Masquerade, Reason, Scope, ServiceMatch, Verdict},
};
use discovery_core::policy::Rng;

/// What every decision for a port reads, copied out of [`PortState`].
///
/// With 50 000 ports, a decision costs as much as the memory accesses that it waits for. A route is stored in the
/// lookup table itself, and the endpoints of all routes of one sync are stored side by side.
#[derive(Clone, Debug)]
pub(super) struct Route {
    /// The kind of address that this route belongs to.
    pub(super) destination: Destination,
    /// Freed with the last route of its sync.
    endpoints: Arc<PackedEndpoints>,
    cluster: EndpointRange,
    local: EndpointRange,
    internal_local: bool,
    external_local: bool,
    affinity: bool,
    /// Whether the choice depends on the endpoints alone.
    stateless: bool,
    pub(super) port: Arc<PortState>,
}

/// Creates the routes of all ports that a sync has changed, in the order of the ports.
pub(super) fn routes<'a>(ports: impl Iterator<Item = &'a Arc<PortState>>, config: &Config) -> Vec<Route> {
    let ports: Vec<_> = ports.collect();
    let count = |port: &&Arc<PortState>| port.usable.cluster.len() + port.usable.local.len();
    let mut packed = PackedEndpoints::new(config.family(), ports.iter().map(count).sum());
    let mut push = |set: &[SocketAddr]| packed.push(set);
    let ranges: Vec<_> = ports.iter().map(|port| (push(&port.usable.cluster), push(&port.usable.local))).collect();
    let endpoints = Arc::new(packed);
    let route = |(port, (cluster, local)): (&Arc<PortState>, (EndpointRange, EndpointRange))| {
        let affinity = port.info.affinity.is_some();
        Route {
            destination: Destination::ClusterIp,
            endpoints: endpoints.clone(),
            cluster,
            local,
            internal_local: port.info.internal_policy_local,
            external_local: port.info.external_policy_local,
            affinity,
            stateless: !affinity && matches!(config.mode(), Mode::Iptables(_) | Mode::Nftables),
            port: port.clone(),
        }
    };
    ports.into_iter().zip(ranges).map(route).collect()
}

impl Route {
    pub(super) const fn for_destination(mut self, destination: Destination) -> Self {
        self.destination = destination;
        self
    }

    /// Whether this route wins a key that both claim.
    pub(super) fn comes_before(&self, other: &Self) -> bool {
        self.rank() < other.rank()
    }

    /// The order of routes that claim the same key; the lowest wins.
    pub(super) fn rank(&self) -> (bool, &ServicePortName, Destination) {
        (self.destination != Destination::ClusterIp, &self.port.name, self.destination)
    }

    /// Decides a flow to this port.
    pub(super) fn decide(
        &self,
        node: &NodeContext,
        hairpins: &Hairpins,
        flow: &Flow<'_>,
        now: Instant,
        rng: &mut dyn Rng,
    ) -> Verdict<'_> {
        let sender = node.sender(flow);
        let scope = self.scope(node, sender);
        let verdict = |action, choice, masquerade| self.verdict(action, (sender, scope), choice, masquerade);
        if self.destination == Destination::LoadBalancer && !self.is_source_allowed(node, flow) {
            return verdict(Action::Drop, Choice::SourceRange, Masquerade::No);
        }
        match self.choose(scope, flow, now, rng) {
            Ok((addr, choice)) => {
                let masquerade = match self.masquerade(node, sender) {
                    Masquerade::No if addr.ip() == flow.source.ip() => {
                        match hairpins.has(node.config().mode(), addr, flow.protocol) {
                            true => Masquerade::Hairpin,
                            false => Masquerade::No,
                        }
                    }
                    why => why,
                };
                verdict(Action::Endpoint { addr, masquerade: masquerade != Masquerade::No }, choice, masquerade)
            }
            Err(choice) => {
                let (action, choice) = self.refusal(node, (sender, scope), choice);
                verdict(action, choice, Masquerade::No)
            }
        }
    }

    /// Decides a flow to this port's node port at an address of the node that does not serve node ports, in iptables
    /// mode; `None` where no rule matches.
    pub(super) fn decide_unserved_address(&self, node: &NodeContext, flow: &Flow<'_>) -> Option<Verdict<'_>> {
        let (action, choice) = match self.port.usable.has_any {
            false => (Action::Reject, Choice::NoEndpoints),
            true if self.external_local && self.local.len == 0 => (Action::Drop, Choice::NoLocalEndpoints),
            true => return None,
        };
        let scope = if self.external_local { Scope::Local } else { Scope::Cluster };
        Some(self.verdict(action, (node.sender(flow), scope), choice, Masquerade::No))
    }

    fn verdict(
        &self,
        action: Action,
        (sender, scope): (Sender, Scope),
        choice: Choice,
        masquerade: Masquerade,
    ) -> Verdict<'_> {
        let destination = self.destination;
        let matched = ServiceMatch { port: &self.port, sender, destination, scope, choice, masquerade };
        Verdict { action, reason: Reason::Service(matched) }
    }

    /// Which endpoints a flow may use.
    fn scope(&self, node: &NodeContext, sender: Sender) -> Scope {
        let is_internal = self.destination == Destination::ClusterIp;
        let is_local = if is_internal { self.internal_local } else { self.external_local };
        match (node.config().mode(), sender) {
            (Mode::Userspace, _) => Scope::Cluster,
            _ if !is_local => Scope::Cluster,
            (Mode::Ipvs(_), _) if self.local.len == 0 => Scope::NoneLocal,
            (Mode::Iptables(_) | Mode::Nftables, Sender::Pod | Sender::Node) if !is_internal => Scope::ShortCircuit,
            _ => Scope::Local,
        }
    }

    /// Chooses an endpoint; the error is the reason why it cannot.
    fn choose(
        &self,
        scope: Scope,
        flow: &Flow<'_>,
        now: Instant,
        rng: &mut dyn Rng,
    ) -> Result<(SocketAddr, Choice), Choice> {
        let is_local = scope == Scope::Local;
        if self.stateless {
            let set = if is_local { self.local } else { self.cluster };
            let addr = uniform(set.len as usize, rng).and_then(|index| self.endpoints.get(set, index));
            return addr.map(|addr| (addr, Choice::Balanced)).ok_or(Choice::NoEndpoints);
        }
        let usable = if is_local { &self.port.usable.local } else { &self.port.usable.cluster };
        self.port.state.choose(flow, usable, self.affinity, now, rng)
    }

    fn masquerade(&self, node: &NodeContext, sender: Sender) -> Masquerade {
        let mode = node.config().mode();
        if *mode == Mode::Userspace {
            return Masquerade::Userspace;
        }
        if self.destination == Destination::ClusterIp {
            return node.cluster_ip_masquerade(sender);
        }
        match (self.external_local, sender) {
            (false, _) => Masquerade::External,
            (true, Sender::Node) if !matches!(mode, Mode::Ipvs(_)) => Masquerade::FromNode,
            (true, _) => Masquerade::No,
        }
    }

    /// Whether the source ranges admit a flow to the load balancer's address.
    ///
    /// If a range contains this node's primary address, the load balancer's own addresses are admitted as well: some
    /// traffic from a node to the load balancer's address has that address as its source.
    fn is_source_allowed(&self, node: &NodeContext, flow: &Flow<'_>) -> bool {
        let ranges = &self.port.info.source_ranges;
        // iptables mode writes the rules for source ranges only for a Service that has endpoints.
        let is_enforced = match node.config().mode() {
            Mode::Userspace => false,
            Mode::Iptables(_) => self.port.usable.has_any,
            Mode::Ipvs(_) | Mode::Nftables => true,
        };
        if !is_enforced {
            return true;
        }
        if ranges.is_empty() {
            return !(self.port.info.source_ranges_unusable && node.config().strict_source_ranges());
        }
        let has = |ip| ranges.iter().any(|range| range.contains(ip));
        let source = flow.source.ip();
        has(source) || self.port.info.load_balancer_vips.contains(&source) && node.primary_address().is_some_and(has)
    }

    /// The verdict when no endpoint can be chosen. The flow is dropped if only policy `Local` rules out the endpoints
    /// that exist, and rejected otherwise.
    ///
    /// For external addresses, iptables mode rejects incoming packets (`KUBE-EXTERNAL-SERVICES` in INPUT and FORWARD)
    /// but not packets that the node itself sends, which follow the routes. Packets that the node sends to a node port
    /// come in again, and are rejected.
    fn refusal(&self, node: &NodeContext, (sender, scope): (Sender, Scope), choice: Choice) -> (Action, Choice) {
        let is_external = matches!(self.destination, Destination::ExternalIp | Destination::LoadBalancer);
        match (scope, node.config().mode()) {
            (_, Mode::Iptables(_)) if is_external && sender == Sender::Node => (Action::Untouched, choice),
            (Scope::Local, _) if self.port.usable.has_any => (Action::Drop, Choice::NoLocalEndpoints),
            (Scope::NoneLocal, _) if self.port.usable.has_any => (Action::Reject, Choice::NoLocalEndpoints),
            // The proxy accepts a TCP connection and closes it; a datagram is lost.
            (_, Mode::Userspace) if self.port.info.protocol == Protocol::Udp => (Action::Drop, choice),
            _ => (Action::Reject, choice),
        }
    }
}

/// Endpoints of one family: six bytes for each of IPv4, where a [`SocketAddr`] takes 32.
#[derive(Debug)]
enum PackedEndpoints {
    V4(Vec<SocketAddrV4>),
    V6(Vec<SocketAddrV6>),
}

/// The start and length of a set of packed endpoints.
#[derive(Clone, Copy, Debug, Default)]
struct EndpointRange {
    start: u32,
    len: u32,
}

impl PackedEndpoints {
    fn new(family: IpFamily, capacity: usize) -> Self {
        match family {
            IpFamily::V4 => Self::V4(Vec::with_capacity(capacity)),
            IpFamily::V6 => Self::V6(Vec::with_capacity(capacity)),
        }
    }

    /// Adds a set. A set that does not fit into 2^32 endpoints is treated as empty.
    fn push(&mut self, set: &[SocketAddr]) -> EndpointRange {
        let before = self.len();
        for addr in set {
            match (&mut *self, addr) {
                (Self::V4(all), SocketAddr::V4(addr)) => all.push(*addr),
                (Self::V6(all), SocketAddr::V6(addr)) => all.push(*addr),
                // The proxy does not take in endpoints of the other family.
                _ => {}
            }
        }
        match (u32::try_from(before), u32::try_from(self.len() - before)) {
            (Ok(start), Ok(len)) => EndpointRange { start, len },
            _ => EndpointRange::default(),
        }
    }

    fn get(&self, set: EndpointRange, index: usize) -> Option<SocketAddr> {
        let at = set.start as usize + index;
        match self {
            Self::V4(all) => all.get(at).copied().map(SocketAddr::V4),
            Self::V6(all) => all.get(at).copied().map(SocketAddr::V6),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::V4(all) => all.len(),
            Self::V6(all) => all.len(),
        }
    }
}
