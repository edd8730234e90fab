//! What the API server checks before kube-proxy sees an object.
//!
//! Source: k/k pkg/apis/core/validation/validation.go (`ValidateService`, `validateServicePort`,
//! `ValidateEndpointIP`), pkg/apis/discovery/validation/validation.go, pkg/registry/core/service (the allocators of
//! addresses and node ports), apimachinery's field errors, whose kinds and words these are.
//!
//! A layer of its own: the [`Proxier`](super::Proxier) takes what it is given, as kube-proxy does, and a test may
//! give it what no API server would let pass. Only fields that decide where traffic goes are checked.

mod endpoint_slice;
mod error;
mod field;
mod service;

use std::ops::RangeInclusive;

pub use error::{ErrorKind, FieldError};

use super::{
    Cidr,
    object::{EndpointSlice, Service},
};

/// How the API server is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    node_ports: RangeInclusive<i32>,
    service_cidrs: Vec<Cidr>,
}

impl Default for Rules {
    /// Node ports from 30000 to 32767, and no service range, so that cluster IPs are not compared with one.
    fn default() -> Self {
        Self { node_ports: 30_000..=32_767, service_cidrs: Vec::new() }
    }
}

impl Rules {
    /// `--service-node-port-range`.
    #[must_use]
    pub fn with_node_ports(mut self, range: RangeInclusive<i32>) -> Self {
        self.node_ports = range;
        self
    }

    /// `--service-cluster-ip-range`, one for each family.
    #[must_use]
    pub fn with_service_cidrs(mut self, ranges: impl IntoIterator<Item = Cidr>) -> Self {
        self.service_cidrs = ranges.into_iter().collect();
        self
    }

    /// What is wrong with a Service; nothing when it is valid.
    #[must_use]
    pub fn service(&self, service: &Service) -> Vec<FieldError> {
        service::validate(service, self)
    }

    /// What is wrong with a slice; nothing when it is valid.
    #[must_use]
    pub fn endpoint_slice(&self, slice: &EndpointSlice) -> Vec<FieldError> {
        endpoint_slice::validate(slice)
    }
}
