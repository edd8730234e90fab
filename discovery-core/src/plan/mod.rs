//! Plans: the queries for a target, in order, without I/O.
//!
//! # Why not use the search list?
//!
//! A resolver's search list costs up to eight queries for one name, and turns a SERVFAIL for the right name into an
//! NXDOMAIN for the last one. This module expands names itself, so that only absolute names are queried. Outside a cluster
//! hosts are completed with the search list as libc does, one absolute name after the other.

mod candidate;
mod expand;
mod families;
mod hosts;
mod scope;
mod service_ref;

use std::net::IpAddr;

pub use candidate::{Candidate, NameKind, Question};
pub use families::Families;
pub use hosts::HostsReading;
pub use scope::{Scope, SearchList};
pub use service_ref::ServiceRef;

use crate::name::{ServiceName, Target};

/// What each source is queried for to resolve a target in a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// The target.
    pub target: Target,
    /// The addresses in the target itself (a literal, `localhost`), which needs no query.
    pub fixed: Option<Vec<IpAddr>>,
    /// The Service of the own namespace whose environment variables may answer.
    pub env: Option<ServiceName>,
    /// The Services that the name may mean, in the order of the DNS queries, for a source that knows Services by name
    /// and namespace. Unlike the DNS queries, they do not depend on the cluster domain.
    pub services: Vec<ServiceRef>,
    /// The DNS queries: the first candidate that exists wins.
    pub dns: Vec<Candidate>,
    /// The name that the hosts file may have, if it may answer: for a host, never for a Service.
    pub hosts: Option<HostsReading>,
    /// Why possible meanings of the name are left out, and what to set for them.
    pub refused: Vec<String>,
}

impl Plan {
    /// Plans the queries for `target`.
    #[must_use]
    pub fn new(target: &Target, scope: &Scope) -> Self {
        expand::plan(target, scope)
    }

    /// Whether a meaning of the name depends on the cluster domain.
    #[must_use]
    pub fn wants_cluster_domain(target: &Target) -> bool {
        expand::wants_cluster_domain(target)
    }
}
