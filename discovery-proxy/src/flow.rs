//! The first packet of a flow, and where it comes from.
//!
//! Source: k/k pkg/proxy/util/localdetector.go (how traffic from a pod of this node is recognized).

use std::net::SocketAddr;

use super::{Cidr, address::canonical, object::Protocol};

/// The first packet of a connection, or the first datagram, as the node sees it.
///
/// An IPv4-mapped IPv6 address, which a socket for both families reports, is the IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flow<'a> {
    /// The transport protocol.
    pub protocol: Protocol,
    /// The sender's address and port.
    pub source: SocketAddr,
    /// The destination, which may be a Service's virtual address and port.
    pub destination: SocketAddr,
    /// The interface that the packet arrived on; `None` for traffic that this node sends itself.
    pub interface: Option<&'a str>,
}

impl<'a> Flow<'a> {
    /// Creates a TCP flow.
    #[must_use]
    pub const fn tcp(source: SocketAddr, destination: SocketAddr) -> Self {
        Self::new(Protocol::Tcp, source, destination)
    }

    /// Creates a UDP flow.
    #[must_use]
    pub const fn udp(source: SocketAddr, destination: SocketAddr) -> Self {
        Self::new(Protocol::Udp, source, destination)
    }

    /// Creates a flow of any protocol.
    #[must_use]
    pub const fn new(protocol: Protocol, source: SocketAddr, destination: SocketAddr) -> Self {
        Self { protocol, source: canonical(source), destination: canonical(destination), interface: None }
    }

    /// Sets the interface that the packet arrived on, for a [`LocalDetector`] that reads it.
    #[must_use]
    pub const fn with_interface(mut self, name: &'a str) -> Self {
        self.interface = Some(name);
        self
    }
}

/// How traffic from pods of this node is recognized (`--detect-local-mode`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocalDetector {
    /// Not at all: no flow counts as coming from a pod.
    #[default]
    None,
    /// By source address: `ClusterCIDR`, or `NodeCIDR` with the node's own range.
    Cidr(Cidr),
    /// By the name of the bridge that pods are attached to: `BridgeInterface`.
    Bridge(String),
    /// By the prefix of the names of the pods' interfaces: `InterfaceNamePrefix`.
    InterfacePrefix(String),
}

impl LocalDetector {
    /// Returns whether this detector can recognize traffic from pods at all.
    #[must_use]
    pub const fn is_implemented(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Returns whether a flow comes from a pod of this node.
    #[must_use]
    pub fn is_from_pod(&self, flow: &Flow<'_>) -> bool {
        match self {
            Self::None => false,
            Self::Cidr(cidr) => cidr.contains(flow.source.ip()),
            Self::Bridge(name) => flow.interface == Some(name.as_str()),
            Self::InterfacePrefix(prefix) => flow.interface.is_some_and(|name| name.starts_with(prefix.as_str())),
        }
    }
}

/// The kind of sender that the rules distinguish.
///
/// An address that belongs to both a pod and the node counts as a pod's, because the rule for pods comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Sender {
    /// A pod of this node, according to the [`LocalDetector`].
    Pod,
    /// This node: one of its addresses, or loopback.
    Node,
    /// Any other sender.
    External,
}
