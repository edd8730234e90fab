//! The API objects that kube-proxy watches, as plain data.
//!
//! The types hold only the fields that decide where traffic goes, under their API names and flattened: `Service`
//! holds fields that a manifest has under `metadata`, `spec` and `status`. Addresses and CIDRs are text, as in the API,
//! because parsing them ([`parse_ip`](super::parse_ip)) is part of the rules. Ports are `i32`, as in the API:
//! [`validate`](super::validate) rejects values that are out of range, and the proxy skips them.
//!
//! With the feature `k8s`, each type implements `From` for a reference to the `k8s-openapi` type of the same name.
//! Convert what a watch delivers and pass it to [`Proxier::apply_service`](super::Proxier::apply_service) and its
//! siblings. `tests/cluster/kube_proxy/watch.rs` does so with kube's `watcher` and a real API server.
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
mod spelling;

pub use endpoint_slice::{AddressType, Conditions, EndpointSlice, Hints, SERVICE_NAME_LABEL, SliceEndpoint, SlicePort};
pub use endpoints::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints};
pub use node::{Node, ZONE_LABEL};
pub use protocol::{IpFamily, Protocol};
pub use service::{Affinity, IpMode, LoadBalancerIngress, Service, ServicePort, ServiceType, TrafficPolicy};
pub use spelling::Unsupported;
