//! Whether the hosts file may answer for a name.

use super::{NameKind, Plan, Scope};
use crate::name::{DomainName, Port, ServiceName};

/// The reading of a name as a host that stands in the hosts file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostsReading {
    /// The name, as the file lists it.
    pub name: DomainName,
    /// The index of the DNS query that the hosts file comes before; the number of queries if it comes last.
    pub before: usize,
}

/// Returns the reading of `name`, of which `plan` has the DNS queries. In a cluster the readings as a Service come
/// first. The name of a Service never has one.
pub(super) fn hosts_reading(name: &DomainName, absolute: bool, scope: &Scope, plan: &Plan) -> Option<HostsReading> {
    let in_cluster_domain = scope.cluster_domain.as_ref().is_some_and(|domain| name.below(domain.name()).is_some());
    // The hosts file knows no port names.
    if in_cluster_domain || matches!(plan.target.port(), Port::Name(_)) {
        return None;
    }
    let svc = |at: usize| name.labels().nth(at) == Some("svc");
    let ends_in_svc = !absolute && (3..=4).contains(&name.label_count()) && name.labels().next_back() == Some("svc");
    if ends_in_svc || (scope.search.is_none() && (svc(2) || svc(3))) {
        return None;
    }
    if scope.search.is_some() {
        return Some(HostsReading { name: name.clone(), before: 0 });
    }
    // A Service that cannot be looked up may exist all the same.
    if plan.dns.is_empty() && ServiceName::new(name.as_str()).is_ok() {
        return None;
    }
    let is_host = |candidate: &super::Candidate| candidate.name_kind == NameKind::Host && !candidate.in_cluster;
    let before = plan.dns.iter().position(is_host).unwrap_or(plan.dns.len());
    Some(HostsReading { name: name.clone(), before })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        name::{ClusterDomain, Namespace, Target},
        plan::SearchList,
    };

    fn before(target: &str, scope: &Scope) -> Option<usize> {
        Plan::new(&Target::new(target).expect(target), scope).hosts.map(|hosts| hosts.before)
    }

    #[test]
    fn the_hosts_file_comes_after_the_services_in_a_cluster() {
        let pod = Scope::new(Namespace::new("shop").ok(), ClusterDomain::new("cluster.local").ok());
        for (target, expected) in [
            ("db", Some(1)),
            ("orders.billing", Some(2)),
            ("db.example.com", Some(1)),
            ("my_db.example.com", Some(0)),
            ("api_gateway", Some(0)),
            ("db.eu.example.com", Some(0)),
            ("db.example.com.", Some(0)),
            ("orders.billing.svc", None),
            ("orders.billing.svc.cluster.local", None),
            ("orders.billing.svc.other.example", None),
            ("web-0.nginx.shop.svc.other.example", None),
            ("db.example.com:http", None),
            ("10.0.0.1", None),
            ("localhost", None),
        ] {
            assert_eq!(before(target, &pod), expected, "{target}");
        }
        assert_eq!(before("db", &Scope::new(None, ClusterDomain::new("cluster.local").ok())), None);
    }

    #[test]
    fn the_hosts_file_comes_first_outside_a_cluster() {
        let laptop = Scope::default().with_search(SearchList::default());
        for (target, expected) in [
            ("db", Some(0)),
            ("orders.billing", Some(0)),
            ("db.example.com", Some(0)),
            ("orders.billing.svc.cluster.local", Some(0)),
            ("orders.billing.svc", None),
            ("db:http", None),
        ] {
            assert_eq!(before(target, &laptop), expected, "{target}");
        }
    }
}
