//! What a search list tells. It is only ever looked at, never used to expand a name: a node's search domain
//! may hold wildcard records, which answer for names of the cluster.

use crate::name::{ClusterDomain, DomainName, Namespace};

/// The rest of the first entry `svc.<rest>` that an entry `<namespace>.svc.<rest>` confirms.
///
/// The kubelet writes `<ns>.svc.<domain> svc.<domain> <domain>` (`pkg/kubelet/network/dns/dns.go`). Where
/// several entries qualify, one whose `<rest>` is listed too comes first; a list that was de-duplicated or
/// cut need not hold it.
pub(super) fn cluster_domain(search: &[DomainName]) -> Option<ClusterDomain> {
    let confirmed = |rest: &&str| search.iter().any(|entry| namespace_below(entry, rest).is_some());
    let mut candidates = search.iter().filter_map(|entry| entry.as_str().strip_prefix("svc.")).filter(confirmed);
    let first = candidates.clone().next();
    let listed = candidates.find(|rest| search.iter().any(|entry| entry.as_str() == *rest));
    ClusterDomain::new(listed.or(first)?).ok()
}

/// The namespace in the first entry `<namespace>.svc.<domain>`.
pub(super) fn own_namespace(search: &[DomainName], domain: &ClusterDomain) -> Option<Namespace> {
    search.iter().find_map(|entry| namespace_below(entry, domain.name().as_str()))
}

/// The namespace of an entry `<namespace>.svc.<domain>`.
fn namespace_below(entry: &DomainName, domain: &str) -> Option<Namespace> {
    let label = entry.as_str().strip_suffix(domain)?.strip_suffix(".svc.")?;
    Namespace::new(label).ok()
}
