//! `discovery.k8s.io/v1.EndpointSlice`.

use std::collections::BTreeMap;

use super::{Protocol, spelling::spelled};

/// The label that names the Service of a slice.
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// Some of the endpoints of a Service. A Service may have many slices, which together list all its endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointSlice {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.labels`, including [`SERVICE_NAME_LABEL`].
    pub labels: BTreeMap<String, String>,
    /// The kind of the endpoints' addresses.
    pub address_type: AddressType,
    /// The ports of every endpoint in this slice.
    pub ports: Vec<SlicePort>,
    /// The endpoints.
    pub endpoints: Vec<SliceEndpoint>,
}

impl EndpointSlice {
    /// Returns the name of the Service that the slice belongs to; `None` if the label is missing or empty.
    #[must_use]
    pub fn service_name(&self) -> Option<&str> {
        self.labels.get(SERVICE_NAME_LABEL).map(String::as_str).filter(|name| !name.is_empty())
    }
}

/// `addressType`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AddressType {
    /// `IPv4`.
    #[default]
    V4,
    /// `IPv6`.
    V6,
    /// `FQDN`, which kube-proxy ignores.
    Fqdn,
}

spelled!(AddressType: Fqdn = "FQDN", V4 = "IPv4", V6 = "IPv6");

/// One entry of `ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlicePort {
    /// The name of the Service's port. A port with the name null, which differs from the empty name, is ignored.
    pub name: Option<String>,
    /// The protocol; TCP by default.
    pub protocol: Protocol,
    /// The number to dial. A port without a number is ignored.
    pub port: Option<i32>,
}

impl Default for SlicePort {
    /// Creates a port with the empty name, which the API server fills in.
    fn default() -> Self {
        Self { name: Some(String::new()), protocol: Protocol::Tcp, port: None }
    }
}

/// One entry of `endpoints`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SliceEndpoint {
    /// The addresses, of which only the first counts.
    pub addresses: Vec<String>,
    /// Whether the endpoint may be used.
    pub conditions: Conditions,
    /// The node that the endpoint runs on.
    pub node_name: Option<String>,
    /// The zone that the endpoint runs in. It is informational: the proxy reads `hints`.
    pub zone: Option<String>,
    /// The zones and nodes that should use the endpoint, according to the slice controller.
    pub hints: Option<Hints>,
}

/// `conditions` of an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Conditions {
    /// Whether the endpoint may get new connections; true when absent.
    pub ready: Option<bool>,
    /// Whether the endpoint answers, even while terminating; true when absent.
    pub serving: Option<bool>,
    /// Whether the endpoint is being deleted; false when absent.
    pub terminating: Option<bool>,
}

/// `hints` of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// `forZones`.
    pub for_zones: Vec<String>,
    /// `forNodes`.
    pub for_nodes: Vec<String>,
}
