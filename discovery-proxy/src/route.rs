//! What becomes of a flow to a port of a Service.
//!
//! The table of masquerading and traffic policies: k/k pkg/proxy/iptables/proxier.go (`syncProxyRules`, the external
//! and cluster policy chains), nftables/proxier.go, ipvs/proxier.go (ipsets), tests `TestClusterIPGeneral`,
//! `TestLoadBalancer`, `TestNodePorts`, `TestExternalTrafficPolicyLocal`, `TestInternalTrafficPolicy`.
//!
//! | destination | policy | sender | endpoints | masqueraded |
//! |---|---|---|---|---|
//! | cluster IP | any | any | by internal policy | all, if `--masquerade-all`; what is not from a pod, if that can be told |
//! | others | Cluster | any | cluster set | yes |
//! | others | Local | pod, if that can be told | cluster set: the short circuit | no |
//! | others | Local | this node | cluster set | yes |
//! | others | Local | anybody else | local set | no |
//!
//! And when the endpoint is the client itself, or its replies would not pass through the node: see `hairpin.rs`.
//!
//! IPVS has no short circuit: a virtual server has one set of destinations, and external traffic with policy `Local` is
//! never masqueraded. Userspace mode knows no policies and no source ranges, and its endpoints always see the node.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use super::{
    Config, Flow, ServicePortName,
    flow::Sender,
    mode::{Ask, Mode, uniform},
    object::Protocol,
    packed::{Packed, Range},
    programmed::{Here, Programmed},
    snapshot::Snapshot,
    verdict::{Action, Choice, Destination, Masquerade, Matched, Reason, Scope, Verdict},
};
use discovery_core::policy::Rng;

/// What each decision looks at, copied out of [`Programmed`]: with 50 000 ports a decision costs as much as the
/// memory that it waits for. A route lies in the lookup table itself, and the endpoints of all routes of one sync lie
/// side by side.
#[derive(Clone, Debug)]
pub(super) struct Route {
    /// Which of the port's addresses leads here.
    pub(super) destination: Destination,
    /// Kept as long as one of its routes is.
    endpoints: Arc<Packed>,
    cluster: Range,
    local: Range,
    internal_local: bool,
    external_local: bool,
    affinity: bool,
    /// The choice depends on nothing but the endpoints.
    stateless: bool,
    pub(super) port: Arc<Programmed>,
}

/// The routes of all ports that a sync has changed, in their order.
pub(super) fn routes<'a>(ports: impl Iterator<Item = &'a Arc<Programmed>>, config: &Config) -> Vec<Route> {
    let ports: Vec<_> = ports.collect();
    let count = |port: &&Arc<Programmed>| port.usable.cluster.len() + port.usable.local.len();
    let mut all = Packed::new(config.family, ports.iter().map(count).sum());
    let mut push = |set: &[SocketAddr]| all.push(set);
    let ranges: Vec<_> = ports.iter().map(|port| (push(&port.usable.cluster), push(&port.usable.local))).collect();
    let endpoints = Arc::new(all);
    let route = |(port, (cluster, local)): (&Arc<Programmed>, (Range, Range))| {
        let affinity = port.info.affinity.is_some();
        Route {
            destination: Destination::ClusterIp,
            endpoints: endpoints.clone(),
            cluster,
            local,
            internal_local: port.info.internal_policy_local,
            external_local: port.info.external_policy_local,
            affinity,
            stateless: !affinity && matches!(config.mode, Mode::Iptables(_) | Mode::Nftables),
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

    pub(super) fn name(&self) -> &ServicePortName {
        &self.port.name
    }

    /// Whether this one has a key that both want.
    pub(super) fn comes_before(&self, other: &Self) -> bool {
        (self.name(), self.destination) < (other.name(), other.destination)
    }

    /// What becomes of a flow to this port.
    pub(super) fn decide(&self, at: &Snapshot, flow: &Flow<'_>, now: Instant, rng: &mut dyn Rng) -> Verdict<'_> {
        let here = &*at.here;
        let destination = self.destination;
        let sender = Sender::of(flow, &here.config.detector, &here.addresses.all);
        let scope = self.scope(here, destination, sender);
        let verdict = |action, choice, masquerade| {
            let matched = Matched { port: &self.port, sender, destination, scope, choice, masquerade };
            Verdict::new(action, Reason::Service(matched))
        };
        if destination == Destination::LoadBalancer && !self.is_allowed(here, flow) {
            return verdict(Action::Drop, Choice::SourceRange, Masquerade::No);
        }
        let is_local = scope == Scope::Local;
        let chosen = if self.stateless {
            let set = if is_local { self.local } else { self.cluster };
            let addr = uniform(set.len as usize, rng).and_then(|place| self.endpoints.get(set, place));
            addr.map(|addr| (addr, Choice::Balanced)).ok_or(Choice::NoEndpoints)
        } else {
            let usable = if is_local { &self.port.usable.local } else { &self.port.usable.cluster };
            self.port.cell.choose(&Ask { flow, affinity: self.affinity, usable, now }, rng)
        };
        match chosen {
            Ok((addr, choice)) => {
                let masquerade = match self.masquerade(here, destination, sender) {
                    Masquerade::No if addr.ip() == flow.source.ip() => {
                        match at.hairpins.has(&here.config.mode, addr, flow.protocol) {
                            true => Masquerade::Hairpin,
                            false => Masquerade::No,
                        }
                    }
                    why => why,
                };
                verdict(Action::Endpoint { addr, masquerade: masquerade != Masquerade::No }, choice, masquerade)
            }
            Err(choice) => {
                let (action, choice) = self.refusal(here, (destination, sender, scope), choice);
                verdict(action, choice, Masquerade::No)
            }
        }
    }

    /// What becomes of a flow to the node port of this port at an address of the node where it is not open, in iptables
    /// mode; `None` where nothing does.
    pub(super) fn refuse_elsewhere(&self, here: &Here, flow: &Flow<'_>) -> Option<Verdict<'_>> {
        let (action, choice) = match self.port.usable.has_any {
            false => (Action::Reject, Choice::NoEndpoints),
            true if self.external_local && self.local.len == 0 => (Action::Drop, Choice::NoLocalEndpoints),
            true => return None,
        };
        let sender = Sender::of(flow, &here.config.detector, &here.addresses.all);
        let scope = if self.external_local { Scope::Local } else { Scope::Cluster };
        let (destination, masquerade) = (Destination::NodePort, Masquerade::No);
        let matched = Matched { port: &self.port, sender, destination, scope, choice, masquerade };
        Some(Verdict::new(action, Reason::Service(matched)))
    }

    /// Which endpoints a flow may use.
    fn scope(&self, here: &Here, destination: Destination, sender: Sender) -> Scope {
        let is_internal = destination == Destination::ClusterIp;
        let is_local = if is_internal { self.internal_local } else { self.external_local };
        match (&here.config.mode, sender) {
            (Mode::Userspace, _) => Scope::Cluster,
            _ if !is_local => Scope::Cluster,
            (Mode::Ipvs(_), _) if self.local.len == 0 => Scope::NoneLocal,
            (Mode::Iptables(_) | Mode::Nftables, Sender::Pod | Sender::Node) if !is_internal => Scope::ShortCircuit,
            _ => Scope::Local,
        }
    }

    fn masquerade(&self, here: &Here, destination: Destination, sender: Sender) -> Masquerade {
        let config = &here.config;
        if config.mode == Mode::Userspace {
            return Masquerade::Userspace;
        }
        if destination == Destination::ClusterIp {
            return match () {
                () if config.masquerade_all => Masquerade::All,
                () if config.detector.is_implemented() && sender != Sender::Pod => Masquerade::NotFromPod,
                () => Masquerade::No,
            };
        }
        match (self.external_local, sender) {
            (false, _) => Masquerade::External,
            (true, Sender::Node) if !matches!(config.mode, Mode::Ipvs(_)) => Masquerade::FromNode,
            (true, _) => Masquerade::No,
        }
    }

    /// Whether the source ranges let a flow to the load balancer's address pass. Where a range has this node's
    /// primary address, the load balancer's own addresses may come in as well: a node's traffic to them has them as source at times.
    fn is_allowed(&self, here: &Here, flow: &Flow<'_>) -> bool {
        let ranges = &self.port.info.source_ranges;
        // iptables mode writes the rules for source ranges only for a Service that has endpoints.
        let is_heeded = match here.config.mode {
            Mode::Userspace => false,
            Mode::Iptables(_) => self.port.usable.has_any,
            Mode::Ipvs(_) | Mode::Nftables => true,
        };
        if ranges.is_empty() || !is_heeded {
            return true;
        }
        let has = |ip| ranges.iter().any(|range| range.contains(ip));
        let source = flow.source.ip();
        has(source)
            || self.port.info.load_balancer_vips.contains(&source)
                && here.addresses.all.first().is_some_and(|ip| has(*ip))
    }

    /// What happens when no endpoint can be chosen: a client that somebody could serve waits in vain when policy
    /// `Local` stands in its way, and all others are told.
    ///
    /// iptables mode refuses for external addresses where packets come in (`KUBE-EXTERNAL-SERVICES` in INPUT and FORWARD),
    /// and not where the node's own leave: those go where routes lead. To a node port, they come in again.
    fn refusal(
        &self,
        here: &Here,
        (destination, sender, scope): (Destination, Sender, Scope),
        choice: Choice,
    ) -> (Action, Choice) {
        let leaves =
            matches!(destination, Destination::ExternalIp | Destination::LoadBalancer) && sender == Sender::Node;
        match (scope, &here.config.mode) {
            (_, Mode::Iptables(_)) if leaves => (Action::Untouched, choice),
            (Scope::Local, _) if self.port.usable.has_any => (Action::Drop, Choice::NoLocalEndpoints),
            (Scope::NoneLocal, _) if self.port.usable.has_any => (Action::Reject, Choice::NoLocalEndpoints),
            // The proxy accepts a TCP connection and closes it; a datagram is lost.
            (_, Mode::Userspace) if self.port.info.protocol == Protocol::Udp => (Action::Drop, choice),
            _ => (Action::Reject, choice),
        }
    }
}
