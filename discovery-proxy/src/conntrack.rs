//! Which tracked UDP flows must be forgotten.
//!
//! Source: k/k pkg/proxy/conntrack/cleanup.go (`CleanStaleEntries`), test `TestCleanStaleEntries`.
//!
//! A UDP flow has no end that one could see: as long as datagrams come, the kernel sends them where it sent the
//! first, or leaves them alone if there was no rule then. So after a change, flows to a UDP port of a changed Service
//! are forgotten, unless they go to an endpoint of it that still *serves*, by address and number; whether it is ready,
//! and what policies say, does not matter. TCP and SCTP end by themselves and are left alone.
//!
//! Flows to a Service without endpoints, and to one that was deleted, are forgotten as well. (Releases 1.32 to 1.35
//! kept them, and so does 1.36.3, as seen: issue 139628, PR 139629; PR 141371.) Chosen: so are flows to an address that the Service has given up.

use std::{collections::BTreeSet, net::SocketAddr};

use super::{object::Protocol, programmed::Programmed};

/// A flow that the kernel, or a forwarder, keeps track of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "what is tracked of a flow; made by whoever tracks")]
pub struct TrackedFlow {
    /// The protocol.
    pub protocol: Protocol,
    /// The destination that the client wrote.
    pub destination: SocketAddr,
    /// Where its packets go: the endpoint, or `destination` itself when nothing has translated it.
    pub backend: SocketAddr,
}

/// The UDP ports that a change has touched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StaleFlows {
    ports: Vec<UdpPort>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct UdpPort {
    destinations: BTreeSet<SocketAddr>,
    node_port: u16,
    serving: BTreeSet<SocketAddr>,
}

impl StaleFlows {
    /// Whether a flow must be forgotten.
    #[must_use]
    pub fn contains(&self, flow: &TrackedFlow) -> bool {
        let is_of = |port: &&UdpPort| {
            port.destinations.contains(&flow.destination)
                || (port.node_port != 0 && port.node_port == flow.destination.port())
        };
        let mut owners = self.ports.iter().filter(is_of).peekable();
        flow.protocol == Protocol::Udp
            && owners.peek().is_some()
            && !owners.any(|port| port.serving.contains(&flow.backend))
    }

    /// Whether no flow is affected.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ports.is_empty()
    }

    /// Notes the ports of a changed Service as they were and as they are.
    pub(super) fn add<'a>(
        &mut self,
        old: impl Iterator<Item = &'a Programmed>,
        new: impl Iterator<Item = &'a Programmed> + Clone,
    ) {
        let is_udp = |port: &&Programmed| port.info.protocol == Protocol::Udp;
        let kept: BTreeSet<SocketAddr> = new.clone().filter(is_udp).flat_map(destinations).collect();
        let node_ports: BTreeSet<u16> = new.clone().filter(is_udp).map(|port| port.info.node_port).collect();
        for port in old.filter(is_udp) {
            let given_up = destinations(port).filter(|one| !kept.contains(one)).collect::<BTreeSet<_>>();
            let node_port = if node_ports.contains(&port.info.node_port) { 0 } else { port.info.node_port };
            if !given_up.is_empty() || node_port != 0 {
                self.ports.push(UdpPort { destinations: given_up, node_port, serving: BTreeSet::new() });
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

fn destinations(port: &Programmed) -> impl Iterator<Item = SocketAddr> {
    port.info.virtual_ips().map(|ip| SocketAddr::new(ip, port.info.port))
}
