//! EndpointSlices: the pods behind a Service as the API server knows them, within milliseconds of a change.
//!
//! DNS needs no permission and is the rule. This source (feature `kubernetes`) is asked before DNS once it is switched
//! on with `ResolverBuilder::endpoint_slices`, and wants a Role: get, list and watch on `endpointslices` of
//! `discovery.k8s.io` and on `services`, in each namespace that is asked about (`deploy/role.yaml`).
//!
//! What it knows that DNS does not: the pods of a Service with a virtual address, readiness and termination, zone, node
//! and hints, the pod's UID, and the number behind a port's name.
//!
//! # Layers
//!
//! | layer | |
//! |---|---|
//! | [`model`] | Services and slices in plain types: what is kept of an object |
//! | [`merge`] | Service, slices and target to endpoints, by the rules of kube-proxy; pure |
//! | store | the objects of one namespace, and when not to believe a list; pure |
//! | read | what the store says to one target; pure |
//! | watch | requests to the API server: one watch of slices and one of Services for each namespace, for any number of names |
//! | lookup, source | the contract of a [`Source`](super::Source) |
//!
//! The first two need no feature: whoever has Services and slices from elsewhere can merge them, and a proxy core works
//! on the same types.
#![cfg_attr(feature = "kubernetes", doc = include_str!("behavior.md"))]

#[cfg(feature = "kubernetes")]
mod builder;
#[cfg(feature = "kubernetes")]
pub(crate) mod in_cluster;
#[cfg(feature = "kubernetes")]
mod lookup;
pub mod merge;
pub mod model;
#[cfg(feature = "kubernetes")]
mod picture;
#[cfg(feature = "kubernetes")]
mod read;
#[cfg(feature = "kubernetes")]
mod source;
#[cfg(feature = "kubernetes")]
mod store;
#[cfg(feature = "kubernetes")]
mod watch;

#[cfg(feature = "kubernetes")]
pub use builder::KubernetesSourceBuilder;
#[cfg(feature = "kubernetes")]
pub use source::KubernetesSource;
