//! EndpointSlices: the pods behind a Service as the API server knows them, within milliseconds of a change.
//!
//! By default the resolver uses DNS, which needs no permission. `ResolverBuilder::endpoint_slices` switches this source
//! on (feature `kubernetes`), and the resolver then asks it before DNS. It needs a Role with the verbs get, list and
//! watch on `endpointslices` of `discovery.k8s.io` and on `services`, in each namespace whose Services the application
//! uses (`deploy/role.yaml`).
//!
//! It knows what DNS does not: the pods behind a virtual address, readiness and termination, zone, node and hints, the
//! UID of each pod, and the number behind a port name.
//!
//! # Layers
//!
//! | layer | |
//! |---|---|
//! | [`model`] | Services and slices as plain types, reduced to the fields that routing needs |
//! | [`merge`] | derives endpoints from a Service, its slices and a target, by the rules of kube-proxy; pure |
//! | cache | the objects of one resource in one namespace, and which lists not to trust; pure |
//! | namespace | what the cached objects say about one target; pure |
//! | watch | requests to the API server: two watches per namespace (slices and Services), shared by all targets in it |
//! | source | implements [`Source`](super::Source) |
//!
//! `model` and `merge` need no feature: an application that has Services and slices from elsewhere can merge them too.
//! The proxy of the crate `discovery-proxy` has object types of its own.
#![cfg_attr(feature = "kubernetes", doc = include_str!("behavior.md"))]

#[cfg(feature = "kubernetes")]
mod builder;
#[cfg(feature = "kubernetes")]
mod cache;
#[cfg(feature = "kubernetes")]
mod in_cluster;
pub mod merge;
pub mod model;
#[cfg(feature = "kubernetes")]
mod namespace;
#[cfg(feature = "kubernetes")]
mod source;
#[cfg(feature = "kubernetes")]
mod watch;

#[cfg(feature = "kubernetes")]
pub use builder::KubernetesSourceBuilder;
#[cfg(feature = "kubernetes")]
pub use source::KubernetesSource;
