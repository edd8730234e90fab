//! Services.

use super::AddressType;
use crate::name::{PortName, Protocol, ServiceName};

/// A Service, reduced to what is needed to find the port of its slices that a target means.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Service {
    /// `metadata.name`.
    pub name: ServiceName,
    /// How clients reach the Service.
    pub kind: ServiceKind,
    /// `spec.ports`, in the order of the object.
    pub ports: Vec<ServicePort>,
    /// The first of `spec.ipFamilies`. A dual-stack pod's address of this family comes first.
    pub primary: AddressType,
}

/// How clients reach a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServiceKind {
    /// By a virtual address: `ClusterIP`, `NodePort`, `LoadBalancer`.
    ClusterIp,
    /// By the addresses of its pods: `clusterIP: None`.
    Headless,
    /// As an alias of another name: `ExternalName`, even if the object also sets a `clusterIP`.
    ExternalName,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServicePort {
    /// `name`; `None` for the unnamed port. Only a Service with a single port may leave the name out.
    pub name: Option<PortName>,
    /// `port`, the number that clients use. The number to connect to comes from the slices.
    pub number: u16,
    /// `protocol`; TCP if absent.
    pub protocol: Protocol,
}

impl Service {
    /// Creates a Service without ports.
    #[must_use]
    pub fn new(name: ServiceName, kind: ServiceKind) -> Self {
        Self { name, kind, ports: Vec::new(), primary: AddressType::Ipv4 }
    }

    /// Adds a port.
    #[must_use]
    pub fn with_port(mut self, name: Option<PortName>, number: u16, protocol: Protocol) -> Self {
        self.ports.push(ServicePort { name, number, protocol });
        self
    }

    /// Sets the primary address family, which is IPv4 by default.
    #[must_use]
    pub fn with_primary(mut self, primary: AddressType) -> Self {
        self.primary = primary;
        self
    }
}
