//! The scope of relative names.

use crate::name::{ClusterDomain, Namespace};

/// The scope of a relative name: the own namespace and the cluster domain, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scope {
    /// The own namespace. It is never guessed.
    pub namespace: Option<Namespace>,
    /// The cluster domain. It is never assumed.
    pub cluster_domain: Option<ClusterDomain>,
}

impl Scope {
    /// Creates a scope.
    #[must_use]
    pub fn new(namespace: Option<Namespace>, cluster_domain: Option<ClusterDomain>) -> Self {
        Self { namespace, cluster_domain }
    }
}
