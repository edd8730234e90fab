//! EndpointSlices.

use std::{net::IpAddr, sync::Arc};

use crate::{
    endpoint::Conditions,
    name::{Hostname, PortName, Protocol, ServiceName},
};

/// An EndpointSlice of `discovery.k8s.io/v1`, reduced to what routing needs.
///
/// Strings that many endpoints have in common (nodes, zones, hints) are `Arc`s, so that endpoints can share one copy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Slice {
    /// `metadata.name`, unique in the namespace.
    pub name: Arc<str>,
    /// The label `kubernetes.io/service-name`. Slices without it do not belong to a Service and are ignored.
    pub service: ServiceName,
    /// `addressType`.
    pub address_type: AddressType,
    /// `ports`, without those whose name or number is null, which kube-proxy ignores too.
    pub ports: Vec<SlicePort>,
    /// `endpoints`, without those that have no address.
    pub endpoints: Vec<SliceEndpoint>,
}

/// The kind of addresses in a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AddressType {
    /// IPv4 addresses.
    Ipv4,
    /// IPv6 addresses.
    Ipv6,
    /// Domain names, or a type that this crate does not know. Such slices are ignored.
    Other,
}

/// One port of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlicePort {
    /// The name of the Service's port; `None` for the empty name.
    pub name: Option<PortName>,
    /// The port number to connect to; never 0.
    pub number: u16,
    /// The protocol; TCP if absent.
    pub protocol: Protocol,
}

/// One endpoint of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SliceEndpoint {
    /// The first of `addresses`. All of them belong to the same pod, and kube-proxy uses only the first.
    pub address: IpAddr,
    /// `conditions`, with defaults for absent ones.
    pub conditions: Conditions,
    /// `hostname`, which the controller sets for pods of a headless Service that have one.
    pub hostname: Option<Hostname>,
    /// `nodeName`.
    pub node: Option<Arc<str>>,
    /// `zone`.
    pub zone: Option<Arc<str>>,
    /// `targetRef.uid`: the UID of the pod.
    pub uid: Option<Arc<str>>,
    /// `hints.forZones`.
    pub zone_hints: Option<Arc<[Arc<str>]>>,
    /// `hints.forNodes`.
    pub node_hints: Option<Arc<[Arc<str>]>>,
}

impl Slice {
    /// Creates a slice without ports and endpoints.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, service: ServiceName, address_type: AddressType) -> Self {
        Self { name: name.into(), service, address_type, ports: Vec::new(), endpoints: Vec::new() }
    }

    /// Adds a port. A port with number 0 is left out.
    #[must_use]
    pub fn with_port(mut self, name: Option<PortName>, number: u16, protocol: Protocol) -> Self {
        if number != 0 {
            self.ports.push(SlicePort { name, number, protocol });
        }
        self
    }

    /// Adds an endpoint.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: SliceEndpoint) -> Self {
        self.endpoints.push(endpoint);
        self
    }
}

impl SliceEndpoint {
    /// Creates a ready endpoint with only an address.
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        Self {
            address: address.to_canonical(),
            conditions: Conditions::default(),
            hostname: None,
            node: None,
            zone: None,
            uid: None,
            zone_hints: None,
            node_hints: None,
        }
    }
}

impl AddressType {
    /// Returns whether `ip` is of this type.
    #[must_use]
    pub fn holds(self, ip: IpAddr) -> bool {
        match self {
            Self::Ipv4 => ip.is_ipv4(),
            Self::Ipv6 => ip.is_ipv6(),
            Self::Other => false,
        }
    }
}
