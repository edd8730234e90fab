//! The API objects that kube-proxy watches, as plain data.
//!
//! Only the fields that decide where traffic goes, under the names that they have in the API, flattened: `Service`
//! holds what a manifest has below `metadata`, `spec` and `status`. Addresses and CIDRs are text, as in the API,
//! because how they are read ([`parse_ip`](super::parse_ip)) is part of the rules. Ports are `i32`, as in the
//! API: what is out of range is for [`validate`](super::validate) to refuse and for the proxy to skip.
//!
//! With the feature `k8s`, each of them is made `From` a reference to the type of `k8s-openapi` that has its
//! name: what a watch delivers goes to [`Proxier::apply_service`](super::Proxier::apply_service) and the others.
//! `tests/cluster/kube_proxy/watch.rs` does so with kube's `watcher`, on a real API server.
#![expect(
    clippy::exhaustive_structs,
    reason = "written as literals with `..Default::default()`, like the manifests that they stand for"
)]

mod endpoint_slice;
mod endpoints;
#[cfg(feature = "k8s")]
mod k8s;
mod node;
mod protocol;
mod service;

pub use endpoint_slice::{AddressType, Conditions, EndpointSlice, Hints, SERVICE_NAME_LABEL, SliceEndpoint, SlicePort};
pub use endpoints::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints};
pub use node::{Node, ZONE_LABEL};
pub use protocol::{IpFamily, Protocol, Unsupported};
pub use service::{Affinity, IpMode, LoadBalancerIngress, Service, ServicePort, ServiceType, TrafficPolicy};
