//! An EndpointSlice.

use std::{net::IpAddr, sync::Arc};

use crate::{
    endpoint::Conditions,
    name::{Hostname, PortName, Protocol, ServiceName},
};

/// What is kept of an EndpointSlice, `discovery.k8s.io/v1`.
///
/// Texts that many endpoints share (nodes, zones, hints) are shared in memory as well, where the reader of the
/// objects sees to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Slice {
    /// `metadata.name`, unique in the namespace.
    pub name: Arc<str>,
    /// The label `kubernetes.io/service-name`. A slice without it belongs to no Service and is never seen.
    pub service: ServiceName,
    /// `addressType`.
    pub address_type: AddressType,
    /// `ports`. One whose name or number is null is left out (contract of kube-proxy 1.0).
    pub ports: Vec<SlicePort>,
    /// `endpoints`. One without addresses is left out.
    pub endpoints: Vec<SliceEndpoint>,
}

/// What kind of addresses a slice holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AddressType {
    /// IPv4 addresses.
    Ipv4,
    /// IPv6 addresses.
    Ipv6,
    /// Names, or something newer: such slices are ignored.
    Other,
}

/// One port of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlicePort {
    /// The name of the Service's port; `None` for the empty name.
    pub name: Option<PortName>,
    /// The number to dial; never 0.
    pub number: u16,
    /// TCP where absent.
    pub protocol: Protocol,
}

/// One endpoint of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SliceEndpoint {
    /// The first of `addresses`: all of them are the same pod, and only the first is ever used.
    pub address: IpAddr,
    /// `conditions`, with the defaults of absent ones.
    pub conditions: Conditions,
    /// `hostname`, of pods of a headless Service that have one.
    pub hostname: Option<Hostname>,
    /// `nodeName`.
    pub node: Option<Arc<str>>,
    /// `zone`.
    pub zone: Option<Arc<str>>,
    /// `targetRef.uid`: which pod it is.
    pub uid: Option<Arc<str>>,
    /// `hints.forZones`.
    pub zone_hints: Option<Arc<[Arc<str>]>>,
    /// `hints.forNodes`.
    pub node_hints: Option<Arc<[Arc<str>]>>,
}

impl Slice {
    /// A slice without ports and endpoints.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, service: ServiceName, address_type: AddressType) -> Self {
        Self { name: name.into(), service, address_type, ports: Vec::new(), endpoints: Vec::new() }
    }

    /// Adds a port; 0 is none.
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
    /// A ready endpoint of which nothing but the address is known.
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        Self {
            address,
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
    /// Whether `ip` is of this kind.
    #[must_use]
    pub fn holds(self, ip: IpAddr) -> bool {
        match self {
            Self::Ipv4 => ip.is_ipv4(),
            Self::Ipv6 => ip.is_ipv6(),
            Self::Other => false,
        }
    }
}
