//! Which endpoints are usable, whatever the mode.
//!
//! Source: k/k pkg/proxy/topology.go (`CategorizeEndpoints`, `topologyModeFromHints`); test
//! `TestCategorizeEndpoints`.
//!
//! * **Cluster set**: ready, and allowed by the topology mode. If there is none, those that are serving while they
//!   terminate, whatever their hints.
//! * **Local set**: ready and on this node, whatever their hints. If there is none, those on this node that are
//!   serving while they terminate.
//! * **Topology mode**, from ready endpoints alone: when each has a node hint and one names this node, only the
//!   endpoints that name it; else the same with zones; else all. One ready endpoint without hints ends it. What the
//!   Service says in `trafficDistribution` is not read: the slice controller has turned it into hints.

use std::{fmt, net::SocketAddr};

use super::{EndpointInfo, ServicePortInfo};

/// The endpoints that each kind of traffic may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UsableEndpoints {
    /// For traffic that may use any node's endpoints, in order.
    pub cluster: Box<[SocketAddr]>,
    /// For traffic that may use only this node's, in order.
    pub local: Box<[SocketAddr]>,
    /// Whether there is a usable endpoint anywhere; without one, traffic is refused, not dropped.
    pub has_any: bool,
    /// The cluster set are terminating ones, for want of ready ones.
    pub cluster_terminating: bool,
    /// The local set are terminating ones, for want of ready ones.
    pub local_terminating: bool,
    /// What the hints have led to.
    pub topology: Topology,
}

impl UsableEndpoints {
    /// The union of both sets, for what is kept for each endpoint.
    #[must_use]
    pub fn all_reachable(&self) -> Vec<SocketAddr> {
        let mut all = self.cluster.to_vec();
        all.extend(self.local.iter().filter(|addr| !self.cluster.contains(addr)));
        all
    }
}

/// Which hints were followed, or why none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Topology {
    /// No ready endpoint has a hint: nothing was asked for.
    #[default]
    NoHints,
    /// Only endpoints with a hint for this node.
    SameNode,
    /// Only endpoints with a hint for this zone.
    SameZone,
    /// Hints are ignored: a ready endpoint has none.
    Unhinted,
    /// Hints are ignored: no ready endpoint has one for this node or zone.
    NotForHere,
    /// Hints are ignored: it is not known which zone this node is in.
    UnknownZone,
    /// There is no ready endpoint.
    NoneReady,
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoHints => "no hints",
            Self::SameNode => "same node by hints",
            Self::SameZone => "same zone by hints",
            Self::Unhinted => "hints ignored: a ready endpoint has none",
            Self::NotForHere => "hints ignored: none for this node or zone",
            Self::UnknownZone => "hints ignored: this node's zone is not known",
            Self::NoneReady => "no endpoint is ready",
        })
    }
}

/// Where the proxy runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) node: &'a str,
    pub(super) zone: Option<&'a str>,
}

/// Sorts the endpoints of a port by who may use them.
pub(super) fn categorize(all: &[EndpointInfo], port: &ServicePortInfo, place: Place<'_>) -> UsableEndpoints {
    let mut usable = UsableEndpoints { topology: topology(all, place), ..UsableEndpoints::default() };
    if port.uses_cluster_endpoints() {
        let allowed = |endpoint: &&EndpointInfo| endpoint.ready && usable.topology.allows(endpoint, place);
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
    fn allows(self, endpoint: &EndpointInfo, place: Place<'_>) -> bool {
        match self {
            Self::SameNode => endpoint.node_hints.iter().any(|node| node == place.node),
            Self::SameZone => endpoint.zone_hints.iter().any(|zone| Some(zone.as_str()) == place.zone),
            _ => true,
        }
    }
}

fn topology(all: &[EndpointInfo], place: Place<'_>) -> Topology {
    let ready = || all.iter().filter(|endpoint| endpoint.ready);
    if ready().next().is_none() {
        return Topology::NoneReady;
    }
    let names_here = |mode: Topology| ready().any(|endpoint| mode.allows(endpoint, place));
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
        (true, true) if by_zone && place.zone.is_none() => Topology::UnknownZone,
        (true, true) => Topology::NotForHere,
    }
}

fn addrs<'a>(endpoints: impl Iterator<Item = &'a EndpointInfo>) -> Box<[SocketAddr]> {
    endpoints.map(|endpoint| endpoint.addr).collect()
}
