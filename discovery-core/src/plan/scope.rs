//! The scope of relative names.

use crate::name::{ClusterDomain, DomainName, Namespace};

/// The scope of a relative name: the own namespace and the cluster domain, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scope {
    /// The own namespace. It is never guessed.
    pub namespace: Option<Namespace>,
    /// The cluster domain. It is never assumed.
    pub cluster_domain: Option<ClusterDomain>,
    /// How the names of hosts are completed outside a cluster; `None` in a cluster, where a name of one label is a
    /// Service and the search list is not used.
    pub search: Option<SearchList>,
    /// Whether a name without the final dot is never read as a host.
    pub cluster_only: bool,
}

impl Scope {
    /// Creates a scope in a cluster.
    #[must_use]
    pub fn new(namespace: Option<Namespace>, cluster_domain: Option<ClusterDomain>) -> Self {
        Self { namespace, cluster_domain, search: None, cluster_only: false }
    }

    /// Sets how the names of hosts are completed, for a process outside a cluster.
    #[must_use]
    pub fn with_search(mut self, search: SearchList) -> Self {
        self.search = Some(search);
        self
    }

    /// Sets whether a name without the final dot is never read as a host.
    #[must_use]
    pub fn with_cluster_only(mut self, cluster_only: bool) -> Self {
        self.cluster_only = cluster_only;
        self
    }
}

/// The search list of `resolv.conf`, as the C library uses it (resolv.conf(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SearchList {
    /// The domains in their order.
    pub domains: Vec<DomainName>,
    /// A name with at least this many dots is queried as it is first, and any other name in the domains first.
    pub ndots: u32,
}

impl SearchList {
    /// Creates a search list.
    #[must_use]
    pub fn new(domains: Vec<DomainName>, ndots: u32) -> Self {
        Self { domains, ndots }
    }

    /// The absolute names that a relative name of a host may stand for, in the order of glibc's `res_search`.
    pub(super) fn complete(&self, host: &DomainName) -> Vec<String> {
        let mut names: Vec<String> = self.domains.iter().map(|domain| format!("{host}.{domain}")).collect();
        let dots = host.label_count() - 1;
        let at = if u32::try_from(dots).unwrap_or(u32::MAX) >= self.ndots { 0 } else { names.len() };
        names.insert(at, host.to_string());
        names
    }
}

impl Default for SearchList {
    /// No domains, and `ndots:1` as in the C library.
    fn default() -> Self {
        Self { domains: Vec::new(), ndots: 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_completed_in_the_order_of_libc() {
        let domains = || vec![DomainName::new("corp.example").unwrap(), DomainName::new("eu.example").unwrap()];
        for (ndots, host, expected) in [
            (1, "db", ["db.corp.example", "db.eu.example", "db"]),
            (1, "db.team", ["db.team", "db.team.corp.example", "db.team.eu.example"]),
            (2, "db.team", ["db.team.corp.example", "db.team.eu.example", "db.team"]),
            (0, "db", ["db", "db.corp.example", "db.eu.example"]),
        ] {
            let host = DomainName::new(host).unwrap();
            assert_eq!(SearchList::new(domains(), ndots).complete(&host), expected, "ndots:{ndots} {host}");
        }
        assert_eq!(SearchList::default().complete(&DomainName::new("db").unwrap()), ["db"]);
    }
}
