//! One port of a Service, ready to decide.
//!
//! The table of masquerading and traffic policies: k/k pkg/proxy/iptables/proxier.go (`syncProxyRules`, the external and
//! cluster policy chains), nftables/proxier.go, ipvs/proxier.go (ipsets), tests `TestClusterIPGeneral`,
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
//! And always when the endpoint is the client itself, or its replies would not pass through the node.
//!
//! IPVS has no short circuit: a virtual server has one set of destinations, and external traffic with policy `Local` is
//! never masqueraded. Userspace mode knows no policies and no source ranges, and its endpoints always see the node.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use super::{
    Config, Connection, EndpointInfo, Flow, ServicePortInfo, ServicePortName, UsableEndpoints,
    flow::Sender,
    mode::{Ask, Cell, Mode, uniform},
    node_address::NodeAddresses,
    verdict::{Action, Choice, Destination, Masquerade, Matched, Reason, Scope, Verdict},
};
use crate::policy::Rng;

/// One port of a Service with its endpoints. What each decision looks at comes first and lies together: with 50 000 of
/// these, a decision costs as much as the memory that it has to wait for.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Programmed {
    pub(super) usable: UsableEndpoints,
    pub(super) policies: Policies,
    pub(super) cell: Arc<Cell>,
    pub(super) name: ServicePortName,
    pub(super) info: ServicePortInfo,
    /// All endpoints, usable or not, in order.
    pub(super) endpoints: Box<[EndpointInfo]>,
}

/// What each decision wants to know of [`ServicePortInfo`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Policies {
    internal_local: bool,
    external_local: bool,
    affinity: bool,
    /// The choice depends on nothing but the endpoints.
    stateless: bool,
}

impl Policies {
    pub(super) fn new(info: &ServicePortInfo, mode: &Mode) -> Self {
        let affinity = info.affinity.is_some();
        Self {
            internal_local: info.internal_policy_local,
            external_local: info.external_policy_local,
            affinity,
            stateless: !affinity && matches!(mode, Mode::Iptables(_) | Mode::Nftables),
        }
    }
}

/// The settings and the node, for every decision.
#[derive(Debug)]
pub(super) struct Here {
    pub(super) config: Config,
    pub(super) addresses: NodeAddresses,
}

impl Programmed {
    pub(super) const fn name(&self) -> &ServicePortName {
        &self.name
    }

    pub(super) const fn usable(&self) -> &UsableEndpoints {
        &self.usable
    }

    pub(super) fn open(&self, flow: &Flow<'_>, endpoint: SocketAddr) -> Option<Connection> {
        Connection::open(&self.cell, flow.destination, endpoint, flow.source)
    }

    /// What becomes of a flow to this port.
    pub(super) fn decide(
        &self,
        here: &Here,
        destination: Destination,
        flow: &Flow<'_>,
        now: Instant,
        rng: &mut dyn Rng,
    ) -> Verdict<'_> {
        let sender = Sender::of(flow, &here.config.detector, &here.addresses.all);
        let scope = self.scope(here, destination, sender);
        let verdict = |action, choice, masquerade| {
            let matched = Matched { port: self, destination, scope, choice, masquerade };
            Verdict::new(action, Reason::Service(matched))
        };
        if destination == Destination::LoadBalancer && !self.is_allowed(here, flow) {
            return verdict(Action::Drop, Choice::SourceRange, Masquerade::No);
        }
        let usable = match scope {
            Scope::Local => &self.usable.local,
            Scope::Cluster | Scope::ShortCircuit | Scope::NoneLocal => &self.usable.cluster,
        };
        let chosen = match self.policies.stateless {
            true => uniform(usable, rng).map(|addr| (addr, Choice::Balanced)).ok_or(Choice::NoEndpoints),
            false => self.cell.choose(&Ask { flow, affinity: self.policies.affinity, usable, now }, rng),
        };
        match chosen {
            Ok((addr, choice)) => {
                let masquerade = match self.masquerade(here, destination, sender) {
                    Masquerade::No if addr.ip() == flow.source.ip() => Masquerade::Hairpin,
                    why => why,
                };
                verdict(Action::Endpoint { addr, masquerade: masquerade != Masquerade::No }, choice, masquerade)
            }
            Err(choice) => {
                let (action, choice) = self.refusal(here, scope, choice);
                verdict(action, choice, Masquerade::No)
            }
        }
    }

    /// Which endpoints a flow may use.
    fn scope(&self, here: &Here, destination: Destination, sender: Sender) -> Scope {
        let is_internal = destination == Destination::ClusterIp;
        let is_local = if is_internal { self.policies.internal_local } else { self.policies.external_local };
        match (&here.config.mode, sender) {
            (Mode::Userspace, _) => Scope::Cluster,
            _ if !is_local => Scope::Cluster,
            (Mode::Ipvs(_), _) if self.usable.local.is_empty() => Scope::NoneLocal,
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
        match (self.policies.external_local, sender) {
            (false, _) => Masquerade::External,
            (true, Sender::Node) if !matches!(config.mode, Mode::Ipvs(_)) => Masquerade::FromNode,
            (true, _) => Masquerade::No,
        }
    }

    /// Whether the source ranges let a flow to the load balancer's address pass. Where a range has this node, the
    /// load balancer's own addresses may come in as well: a node's traffic to them has them as source at times.
    fn is_allowed(&self, here: &Here, flow: &Flow<'_>) -> bool {
        let ranges = &self.info.source_ranges;
        if ranges.is_empty() || here.config.mode == Mode::Userspace {
            return true;
        }
        let has = |ip| ranges.iter().any(|range| range.contains(ip));
        let source = flow.source.ip();
        has(source) || self.info.load_balancer_vips.contains(&source) && here.addresses.all.iter().any(|ip| has(*ip))
    }

    /// What happens when no endpoint can be chosen: a client that somebody could serve waits in vain when policy
    /// `Local` stands in its way, and all others are told.
    fn refusal(&self, here: &Here, scope: Scope, choice: Choice) -> (Action, Choice) {
        match (scope, &here.config.mode) {
            (Scope::Local, _) if self.usable.has_any => (Action::Drop, Choice::NoLocalEndpoints),
            (Scope::NoneLocal, _) if self.usable.has_any => (Action::Reject, Choice::NoLocalEndpoints),
            // The proxy accepts a TCP connection and closes it; a datagram is lost.
            (_, Mode::Userspace) if self.info.protocol == super::object::Protocol::Udp => (Action::Drop, choice),
            _ => (Action::Reject, choice),
        }
    }
}
