//! Which endpoints are usable, in every mode except userspace mode.
//!
//! Source: k/k pkg/proxy/topology.go (`CategorizeEndpoints`, `topologyModeFromHints`); test
//! `TestCategorizeEndpoints`.
//!
//! * **Cluster set**: the ready endpoints that the topology mode allows. If there are none, the endpoints that serve
//!   while terminating, whatever their hints.
//! * **Local set**: the ready endpoints on this node, whatever their hints. If there are none, the endpoints on this
//!   node that serve while terminating.
//! * **Topology mode**, computed from ready endpoints alone: if every endpoint has a node hint and one names this node,
//!   only the endpoints that name this node are allowed. Otherwise the same applies to zones. Otherwise all endpoints
//!   are allowed. A single ready endpoint without hints turns the topology mode off. `trafficDistribution` of the
//!   Service is not read: the slice controller has already turned it into hints.

use std::{fmt, net::SocketAddr};

use super::{EndpointInfo, ServicePortInfo, config::NodeContext, order};

/// The endpoints of a Service port that each kind of traffic may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UsableEndpoints {
    /// The cluster set: for traffic that may use the endpoints of any node, in order.
    pub cluster: Box<[SocketAddr]>,
    /// The local set: for traffic that may only use endpoints of this node, in order.
    pub local: Box<[SocketAddr]>,
    /// Whether there is a usable endpoint on any node. If not, traffic is rejected rather than dropped.
    pub has_any: bool,
    /// Whether the cluster set consists of terminating endpoints because none is ready.
    pub cluster_terminating: bool,
    /// Whether the local set consists of terminating endpoints because none is ready.
    pub local_terminating: bool,
    /// How topology hints restrict the cluster set.
    pub topology: Topology,
}

impl UsableEndpoints {
    /// Returns the union of both sets, in order: the endpoints that a mode keeps state for.
    #[must_use]
    pub fn all_reachable(&self) -> Vec<SocketAddr> {
        order::union(&self.cluster, &self.local)
    }
}

/// The topology hints that apply, or why they are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Topology {
    /// No ready endpoint has a hint.
    #[default]
    NoHints,
    /// Only endpoints with a hint for this node are used.
    SameNode,
    /// Only endpoints with a hint for this zone are used.
    SameZone,
    /// Hints are ignored: a ready endpoint has no hint.
    Unhinted,
    /// Hints are ignored: no ready endpoint has a hint for this node or zone.
    NotForHere,
    /// Hints are ignored: the zone of this node is unknown.
    UnknownZone,
    /// No endpoint is ready.
    NoneReady,
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoHints => "no hints",
            Self::SameNode => "endpoints with a hint for this node",
            Self::SameZone => "endpoints with a hint for this zone",
            Self::Unhinted => "hints ignored: a ready endpoint has no hint",
            Self::NotForHere => "hints ignored: no hint for this node or zone",
            Self::UnknownZone => "hints ignored: zone of this node unknown",
            Self::NoneReady => "no ready endpoint",
        })
    }
}

/// Sorts the endpoints of a port into the cluster set and the local set.
pub(super) fn categorize(all: &[EndpointInfo], port: &ServicePortInfo, node: &NodeContext) -> UsableEndpoints {
    let mut usable = UsableEndpoints { topology: topology(all, node), ..UsableEndpoints::default() };
    if port.uses_cluster_endpoints() {
        let allowed = |endpoint: &&EndpointInfo| endpoint.ready && usable.topology.allows(endpoint, node);
        let ready = addrs(all.iter().filter(allowed));
        usable.cluster_terminating = ready.is_empty();
        usable.cluster = match ready.is_empty() {
            true => addrs(all.iter().filter(|endpoint| endpoint.is_serving_terminating())),
            false => ready,
        };
        usable.cluster_terminating &= !usable.cluster.is_empty();
        usable.has_any = !usable.cluster.is_empty();
    }
    if port.uses_local_endpoints() {
        let local = || all.iter().filter(|endpoint| endpoint.is_local);
        usable.has_any |= all.iter().any(|endpoint| endpoint.ready || endpoint.is_serving_terminating());
        usable.local = addrs(local().filter(|endpoint| endpoint.ready));
        if usable.local.is_empty() {
            usable.local = addrs(local().filter(|endpoint| endpoint.is_serving_terminating()));
            usable.local_terminating = !usable.local.is_empty();
        }
    }
    usable
}

impl Topology {
    fn allows(self, endpoint: &EndpointInfo, node: &NodeContext) -> bool {
        match self {
            Self::SameNode => endpoint.node_hints.iter().any(|hint| hint == node.name()),
            Self::SameZone => endpoint.zone_hints.iter().any(|hint| Some(hint.as_str()) == node.zone()),
            _ => true,
        }
    }
}

fn topology(all: &[EndpointInfo], node: &NodeContext) -> Topology {
    let ready = || all.iter().filter(|endpoint| endpoint.ready);
    if ready().next().is_none() {
        return Topology::NoneReady;
    }
    let names_here = |mode: Topology| ready().any(|endpoint| mode.allows(endpoint, node));
    let by_node = ready().all(|endpoint| !endpoint.node_hints.is_empty());
    if by_node && names_here(Topology::SameNode) {
        return Topology::SameNode;
    }
    let by_zone = ready().all(|endpoint| !endpoint.zone_hints.is_empty());
    if by_zone && names_here(Topology::SameZone) {
        return Topology::SameZone;
    }
    let hinted = |endpoint: &EndpointInfo| !endpoint.node_hints.is_empty() || !endpoint.zone_hints.is_empty();
    match (by_node || by_zone, ready().any(hinted)) {
        (_, false) => Topology::NoHints,
        (false, true) => Topology::Unhinted,
        (true, true) if by_zone && node.zone().is_none() => Topology::UnknownZone,
        (true, true) => Topology::NotForHere,
    }
}

fn addrs<'a>(endpoints: impl Iterator<Item = &'a EndpointInfo>) -> Box<[SocketAddr]> {
    endpoints.map(|endpoint| endpoint.addr).collect()
}
