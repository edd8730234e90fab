//! A Service.

use super::AddressType;
use crate::name::{PortName, Protocol, ServiceName};

/// What is kept of a Service: enough to know which port of its slices a target means.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Service {
    /// `metadata.name`.
    pub name: ServiceName,
    /// How it is reached.
    pub kind: ServiceKind,
    /// `spec.ports`, in their order.
    pub ports: Vec<ServicePort>,
    /// The first of `spec.ipFamilies`: the one whose address of a pod comes first.
    pub primary: AddressType,
}

/// How a Service is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServiceKind {
    /// By a virtual address: `ClusterIP`, `NodePort`, `LoadBalancer`.
    ClusterIp,
    /// By the addresses of its pods: `clusterIP: None`.
    Headless,
    /// It is another name: `ExternalName`, even where a `clusterIP` is set.
    ExternalName,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServicePort {
    /// `name`; a Service of one port may have none.
    pub name: Option<PortName>,
    /// `port`, the number that clients write. What is dialled is the number in the slices.
    pub number: u16,
    /// `protocol`; TCP where absent.
    pub protocol: Protocol,
}

impl Service {
    /// A Service without ports.
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

    /// Sets the first of the address families.
    #[must_use]
    pub fn with_primary(mut self, primary: AddressType) -> Self {
        self.primary = primary;
        self
    }
}
