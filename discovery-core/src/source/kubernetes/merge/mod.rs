//! Which endpoints a target means, out of a Service and its slices. Pure.
//!
//! The rules are those of kube-proxy (kubernetes/kubernetes `pkg/proxy/endpointslicecache.go`, `topology.go`), so
//! that a request goes to the pods that it would have gone to through the Service's virtual address:
//!
//! * A Service's port is found again in the slices by *name and protocol*; the number in the slice is dialled.
//! * Slices that do not hold IPv4 or IPv6 addresses are ignored, and of an endpoint's addresses all but the first.
//! * An address that is in several slices counts once: a later non-terminating entry replaces an earlier one, a
//!   terminating one replaces nothing. "Later" is the order of the slices' names, so that the order in which the
//!   slices arrived plays no part.
//! * Ready endpoints are used; if there is none, those that are terminating and still serving.
//!
//! Beyond kube-proxy, which is of one address family: the entries of one pod in an IPv4 and an IPv6 slice are one
//! endpoint with two addresses, ready if both say so.

mod endpoints;
mod port;
#[cfg(test)]
mod tests;

pub use endpoints::{endpoints, usable};
pub use port::{Dial, NoPort, dial};
