//! `discovery.k8s.io/v1.EndpointSlice`.

use std::collections::BTreeMap;

use super::Protocol;

/// The label that ties a slice to its Service.
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// Some endpoints of a Service. A Service may have many slices; only all of them together are its endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointSlice {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.labels`, with [`SERVICE_NAME_LABEL`].
    pub labels: BTreeMap<String, String>,
    /// What the endpoints' addresses are.
    pub address_type: AddressType,
    /// The ports that each endpoint of this slice has.
    pub ports: Vec<SlicePort>,
    /// The endpoints.
    pub endpoints: Vec<SliceEndpoint>,
}

impl EndpointSlice {
    /// The Service that it belongs to, by label; an empty label is none.
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
    /// Host names, which kube-proxy ignores.
    Fqdn,
}

/// One entry of `ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlicePort {
    /// The name of the Service's port; a port without one (null, which is not the same as empty) is ignored.
    pub name: Option<String>,
    /// TCP unless said otherwise.
    pub protocol: Protocol,
    /// The number to dial; a port without one is ignored.
    pub port: Option<i32>,
}

impl Default for SlicePort {
    /// The name is the empty one, as the API server fills it in.
    fn default() -> Self {
        Self { name: Some(String::new()), protocol: Protocol::Tcp, port: None }
    }
}

/// One entry of `endpoints`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SliceEndpoint {
    /// Its addresses, of which only the first counts.
    pub addresses: Vec<String>,
    /// Whether it may be used.
    pub conditions: Conditions,
    /// The node that it runs on.
    pub node_name: Option<String>,
    /// The zone that it runs in; for people, the proxy reads `hints`.
    pub zone: Option<String>,
    /// Who should use it, as the slice controller says.
    pub hints: Option<Hints>,
}

/// `conditions` of an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Conditions {
    /// May get new connections; absent is yes.
    pub ready: Option<bool>,
    /// Answers, whether it is terminating or not; absent is yes.
    pub serving: Option<bool>,
    /// Is being deleted; absent is no.
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
