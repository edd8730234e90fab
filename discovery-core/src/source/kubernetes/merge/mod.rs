//! Derives the endpoints that a target means from a Service and its slices. Pure.
//!
//! The rules are those of kube-proxy (kubernetes/kubernetes `pkg/proxy/endpointslicecache.go`, `topology.go`), so
//! that a request reaches the same pods as it would through the Service's virtual address:
//!
//! * A Service port matches the slice ports of the same *name and protocol*. The number to connect to is the one in the
//!   slice.
//! * Slices that hold neither IPv4 nor IPv6 addresses are ignored. Only the first address of an endpoint is used.
//! * An address in several slices counts once: a later non-terminating entry replaces an earlier entry, and a
//!   terminating entry replaces nothing. "Later" follows the order of the slice names, so the order in which the slices
//!   arrive does not matter.
//! * Ready endpoints are used. When no endpoint is ready, those that are terminating but still serving are used.
//!
//! One rule goes beyond kube-proxy, which handles one address family at a time: a pod that has entries in an IPv4 and
//! an IPv6 slice becomes one endpoint with two addresses, ready only if both entries are ready.

mod endpoints;
mod port;
#[cfg(test)]
mod tests;

pub use endpoints::{endpoints, usable};
pub use port::{TargetPort, UnknownPort, target_port};
