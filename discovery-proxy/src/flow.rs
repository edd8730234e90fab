//! The first packet of a flow, and where it comes from.
//!
//! Source: k/k pkg/proxy/util/localdetector.go (which traffic is from a pod of this node); for node addresses,
//! the `--src-type LOCAL` and `fib saddr type local` rules of the iptables and nftables proxiers.

use std::net::{IpAddr, SocketAddr};

use super::{Cidr, object::Protocol};

/// A new connection, or the first datagram, as the node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flow<'a> {
    /// The protocol.
    pub protocol: Protocol,
    /// Who sends.
    pub source: SocketAddr,
    /// Where to: a virtual address and port, perhaps.
    pub destination: SocketAddr,
    /// The interface that it came in by; `None` for what this node sends itself.
    pub interface: Option<&'a str>,
}

impl<'a> Flow<'a> {
    /// A TCP connection.
    #[must_use]
    pub const fn tcp(source: SocketAddr, destination: SocketAddr) -> Self {
        Self::new(Protocol::Tcp, source, destination)
    }

    /// A UDP flow.
    #[must_use]
    pub const fn udp(source: SocketAddr, destination: SocketAddr) -> Self {
        Self::new(Protocol::Udp, source, destination)
    }

    /// A flow of any protocol.
    #[must_use]
    pub const fn new(protocol: Protocol, source: SocketAddr, destination: SocketAddr) -> Self {
        Self { protocol, source, destination, interface: None }
    }

    /// The interface that it came in by, for a [`LocalDetector`] that asks for it.
    #[must_use]
    pub const fn with_interface(mut self, name: &'a str) -> Self {
        self.interface = Some(name);
        self
    }
}

/// How traffic from pods is told from other traffic (`--detect-local-mode`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocalDetector {
    /// It is not. Then nothing counts as coming from a pod.
    #[default]
    None,
    /// By source address: `ClusterCIDR`, or `NodeCIDR` with the node's own range.
    Cidr(Cidr),
    /// By the name of the bridge that pods are attached to: `BridgeInterface`.
    Bridge(String),
    /// By how the names of pods' interfaces begin: `InterfaceNamePrefix`.
    InterfacePrefix(String),
}

impl LocalDetector {
    /// Whether traffic from pods can be told at all.
    #[must_use]
    pub const fn is_implemented(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Whether a flow is from a pod.
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

/// Who sends, as far as the rules care. An address that is a pod's and the node's is a pod's: its rule comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Sender {
    /// A pod, by the [`LocalDetector`].
    Pod,
    /// This node: one of its addresses, or loopback.
    Node,
    /// Anybody else.
    External,
}

impl Sender {
    pub(super) fn of(flow: &Flow<'_>, detector: &LocalDetector, node_addresses: &[IpAddr]) -> Self {
        let ip = flow.source.ip();
        if detector.is_from_pod(flow) {
            Self::Pod
        } else if ip.is_loopback() || node_addresses.contains(&ip) {
            Self::Node
        } else {
            Self::External
        }
    }
}
