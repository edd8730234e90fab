//! Plans: the questions that a target leads to, in order, without I/O.
//!
//! Names are expanded here and only absolute names are ever asked: a resolver's search list costs up to ten
//! questions for one name and turns a SERVFAIL on the right name into an NXDOMAIN on the last one.

mod candidate;
mod expand;
mod families;
mod scope;
mod service_ref;

use std::net::IpAddr;

pub use candidate::{Candidate, NameKind, Question};
pub use families::Families;
pub use scope::Scope;
pub use service_ref::ServiceRef;

use crate::name::{ServiceName, Target};

/// What to ask whom for a target, in a given scope.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// The target.
    pub target: Target,
    /// The addresses, where the target itself names them (a literal, `localhost`): nothing is asked.
    pub fixed: Option<Vec<IpAddr>>,
    /// The Service of the own namespace whose environment variables may answer.
    pub env: Option<ServiceName>,
    /// The Services that the name may mean, in the order of the DNS questions: for a source that knows Services by
    /// name and namespace. Unlike the questions they do not need the cluster's domain to be known.
    pub services: Vec<ServiceRef>,
    /// The DNS questions: the first candidate that exists wins.
    pub dns: Vec<Candidate>,
    /// Readings of the name that could not be planned, and what is missing for them.
    pub refused: Vec<String>,
}

impl Plan {
    /// Plans the questions for `target`.
    #[must_use]
    pub fn new(target: &Target, scope: &Scope) -> Self {
        expand::plan(target, scope)
    }

    /// Whether some reading of the name waits for the cluster domain to become known.
    #[must_use]
    pub fn wants_cluster_domain(target: &Target) -> bool {
        expand::wants_cluster_domain(target)
    }
}
