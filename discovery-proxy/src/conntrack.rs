//! Which tracked UDP flows must be forgotten after a change.
//!
//! Source: k/k pkg/proxy/conntrack/cleanup.go (`CleanStaleEntries`), test `TestCleanStaleEntries`.
//!
//! A UDP flow has no visible end. While datagrams arrive, the kernel sends them where it sent the first one, or leaves
//! them untranslated if no rule matched the first one. After a change, the flows to a UDP port of a changed Service
//! are therefore forgotten, unless they go to one of its endpoints that still *serves*, compared by address and number.
//! Readiness and policies do not matter. TCP and SCTP flows end by themselves and are kept.
//!
//! Flows to a Service without endpoints, and to a deleted Service, are forgotten as well. (Releases 1.32 to 1.35 kept
//! them, and 1.36.3 was observed to keep them: issue 139628, PR 139629; PR 141371.) Our choice: flows to an address
//! that a Service has given up are also forgotten.

use std::{collections::BTreeSet, net::SocketAddr};

use super::{address::canonical, object::Protocol, order, program::PortState};

/// A flow that the kernel or a forwarder tracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the caller that tracks flows creates it as a literal")]
pub struct TrackedFlow {
    /// The transport protocol.
    pub protocol: Protocol,
    /// The destination that the client sends to.
    pub destination: SocketAddr,
    /// The address that its packets go to: the endpoint, or `destination` itself if the flow is not translated.
    pub backend: SocketAddr,
}

/// The tracked UDP flows that a change has made stale.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StaleFlows {
    ports: Vec<UdpPort>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct UdpPort {
    destinations: BTreeSet<SocketAddr>,
    node_port: u16,
    /// In order.
    serving: Box<[SocketAddr]>,
}

impl StaleFlows {
    /// Returns whether a flow must be forgotten.
    #[must_use]
    pub fn contains(&self, flow: &TrackedFlow) -> bool {
        let (destination, backend) = (canonical(flow.destination), canonical(flow.backend));
        let owns = |port: &&UdpPort| {
            port.destinations.contains(&destination) || (port.node_port != 0 && port.node_port == destination.port())
        };
        let mut owners = self.ports.iter().filter(owns).peekable();
        flow.protocol == Protocol::Udp
            && owners.peek().is_some()
            && !owners.any(|port| order::position(&port.serving, backend).is_some())
    }

    /// Returns whether no flow is stale.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ports.is_empty()
    }

    /// Adds the ports of a changed Service, before and after the change.
    pub(super) fn add<'a>(
        &mut self,
        old: impl Iterator<Item = &'a PortState>,
        new: impl Iterator<Item = &'a PortState> + Clone,
    ) {
        let is_udp = |port: &&PortState| port.info.protocol == Protocol::Udp;
        let kept: BTreeSet<SocketAddr> = new.clone().filter(is_udp).flat_map(destinations).collect();
        let node_ports: BTreeSet<u16> = new.clone().filter(is_udp).map(|port| port.info.node_port).collect();
        for port in old.filter(is_udp) {
            let given_up = destinations(port).filter(|one| !kept.contains(one)).collect::<BTreeSet<_>>();
            let node_port = if node_ports.contains(&port.info.node_port) { 0 } else { port.info.node_port };
            if !given_up.is_empty() || node_port != 0 {
                self.ports.push(UdpPort { destinations: given_up, node_port, serving: Box::default() });
            }
        }
        for port in new.filter(is_udp) {
            let serving = port.endpoints.iter().filter(|endpoint| endpoint.serving);
            self.ports.push(UdpPort {
                destinations: destinations(port).collect(),
                node_port: port.info.node_port,
                serving: serving.map(|endpoint| endpoint.addr).collect(),
            });
        }
    }
}

fn destinations(port: &PortState) -> impl Iterator<Item = SocketAddr> {
    port.info.virtual_ips().map(|ip| SocketAddr::new(ip, port.info.port))
}
