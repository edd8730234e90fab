//! Where names are read.

use crate::name::{ClusterDomain, Namespace};

/// Where a relative name is read: the own namespace and the cluster's domain, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scope {
    /// The own namespace; never guessed.
    pub namespace: Option<Namespace>,
    /// The cluster's domain; never assumed.
    pub cluster_domain: Option<ClusterDomain>,
}

impl Scope {
    /// A scope of what is known.
    #[must_use]
    pub fn new(namespace: Option<Namespace>, cluster_domain: Option<ClusterDomain>) -> Self {
        Self { namespace, cluster_domain }
    }
}
