//! What a name stands for, by the answer to one of its candidates.

use std::sync::Arc;

use super::addresses::{AddressSet, endpoints};
use crate::{
    endpoint::Endpoint,
    name::Hostname,
    plan::{Candidate, NameKind},
};

/// How an answer reads a name.
///
/// Kubernetes has no CNAME for a pod. Where the answer for a pod comes by one, the server has walked the search list
/// (CoreDNS `autopath`), so the target of the CNAME says what was found: a Service, a host, or a pod after all. A Service
/// may be an alias (ExternalName), and stays a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// The index of the candidate to query from now on.
    winner: usize,
    /// `None` for a host within the cluster domain, which is not a Service name.
    name_kind: Option<NameKind>,
    /// The pod's name, for a pod.
    hostname: Option<Hostname>,
}

impl Reading {
    /// Reads the answer for the candidate at index `asked`; `aliases` are the targets of its CNAMEs, in their order.
    pub(super) fn new(candidates: &[Candidate], asked: usize, aliases: &[Arc<str>]) -> Option<Self> {
        let candidate = candidates.get(asked)?;
        let (NameKind::Pod, Some(target)) = (candidate.name_kind, aliases.first()) else {
            return Some(Self::of_candidate(candidate, asked));
        };
        let is_named =
            |candidate: &Candidate| aliases.iter().any(|alias| **alias == *candidate.question.name().as_str());
        if let Some((at, found)) = candidates.iter().enumerate().find(|(at, other)| *at != asked && is_named(other)) {
            return Some(Self::of_candidate(found, at));
        }
        let name_kind = kind_of(target, candidate);
        let hostname = (name_kind == NameKind::Pod).then(|| first_label(target)).flatten();
        Some(Self { winner: asked, name_kind: Some(name_kind), hostname })
    }

    fn of_candidate(candidate: &Candidate, at: usize) -> Self {
        let is_known = candidate.name_kind != NameKind::Host || !candidate.in_cluster;
        let is_pod = candidate.name_kind == NameKind::Pod;
        Self {
            winner: at,
            name_kind: is_known.then_some(candidate.name_kind),
            hostname: is_pod.then(|| first_label(candidate.question.name().as_str())).flatten(),
        }
    }

    pub(super) fn winner(&self) -> usize {
        self.winner
    }

    pub(super) fn name_kind(&self) -> Option<NameKind> {
        self.name_kind
    }

    /// Returns the endpoints of the name; those of a pod carry the pod's hostname.
    pub(super) fn endpoints(&self, set: &AddressSet, port: u16) -> Vec<Endpoint> {
        let endpoints = endpoints(&set.ips, port);
        match &self.hostname {
            Some(hostname) => endpoints.into_iter().map(|e| e.with_hostname(hostname.clone())).collect(),
            None => endpoints,
        }
    }
}

/// What the queries of a round without endpoints show about the name. Queries go to the readings inside the cluster first,
/// so a name that is queried outside it does not exist inside.
#[derive(Debug, Default)]
pub(super) struct ExcludedReadings {
    name_kind: Option<NameKind>,
}

impl ExcludedReadings {
    /// `candidate` is queried, and the answers for all before it were negative.
    pub(super) fn on_query(&mut self, candidate: &Candidate) {
        if candidate.name_kind == NameKind::Host && !candidate.in_cluster {
            self.name_kind.get_or_insert(NameKind::Host);
        }
    }

    /// `candidate` exists, without records of the types that were queried.
    pub(super) fn on_no_data(&mut self, candidate: &Candidate) {
        if candidate.in_cluster && candidate.name_kind != NameKind::Host {
            self.name_kind.get_or_insert(candidate.name_kind);
        }
    }

    /// What the name is, whatever its endpoints are.
    pub(super) fn name_kind(&self) -> Option<NameKind> {
        self.name_kind
    }
}

/// What the target of a CNAME is, in the cluster of the `pod` that was asked for: `service.namespace.svc.<domain>`,
/// `pod.service.namespace.svc.<domain>`, or a host.
fn kind_of(target: &str, pod: &Candidate) -> NameKind {
    let zone = pod.question.name().as_str().splitn(4, '.').nth(3);
    let inside = zone.and_then(|zone| target.strip_suffix(zone)?.strip_suffix('.'));
    match inside.map(|inside| inside.split('.').count()) {
        Some(2) => NameKind::Service,
        Some(3) => NameKind::Pod,
        _ => NameKind::Host,
    }
}

fn first_label(name: &str) -> Option<Hostname> {
    name.split('.').next().and_then(|label| Hostname::new(label).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        name::{ClusterDomain, Namespace, Target},
        plan::{Plan, Scope},
    };

    /// The reading of the answer for candidate `asked` in a pod of `shop`: winner, kind and hostname.
    fn read(target: &str, asked: usize, aliases: &[&str]) -> (usize, Option<NameKind>, Option<String>) {
        let scope = Scope::new(Namespace::new("shop").ok(), ClusterDomain::new("cluster.local").ok());
        let plan = Plan::new(&Target::new(target).unwrap(), &scope);
        let aliases: Vec<Arc<str>> = aliases.iter().map(|alias| Arc::from(*alias)).collect();
        let reading = Reading::new(&plan.dns, asked, &aliases).unwrap();
        (reading.winner, reading.name_kind, reading.hostname.as_ref().map(ToString::to_string))
    }

    #[test]
    fn without_a_cname_the_candidate_decides() {
        let pod = (0, Some(NameKind::Pod), Some("orders".to_owned()));
        assert_eq!(read("orders.billing", 0, &[]), pod);
        assert_eq!(read("orders.billing", 1, &[]), (1, Some(NameKind::Service), None));
        assert_eq!(read("orders.billing", 2, &[]), (2, Some(NameKind::Host), None));
        assert_eq!(read("10-0-0-1.shop.pod.cluster.local", 0, &[]), (0, None, None));
    }

    /// CoreDNS `autopath` answers for the first entry of the search list with a CNAME to the entry that has records.
    #[test]
    fn the_target_of_a_pods_cname_decides() {
        for (target, aliases, reading) in [
            ("example.com", &["example.com"][..], (2, NameKind::Host, None)),
            ("example.com", &["example.com", "www.cdn.example"], (2, NameKind::Host, None)),
            ("orders.billing", &["orders.billing.svc.cluster.local"], (1, NameKind::Service, None)),
            (
                "orders.billing",
                &["orders.billing.svc.cluster.local", "orders.example.com"],
                (1, NameKind::Service, None),
            ),
            ("example.com", &["example.com.corp.example"], (0, NameKind::Host, None)),
            ("example.com", &["example.com.cluster.local"], (0, NameKind::Host, None)),
            ("web-0.nginx", &["nginx.shop.svc.cluster.local"], (0, NameKind::Service, None)),
            ("web-0.nginx", &["web-1.nginx.other.svc.cluster.local"], (0, NameKind::Pod, Some("web-1"))),
            ("api.example.com", &["api.example.com"], (1, NameKind::Host, None)),
        ] {
            let (winner, kind, hostname) = reading;
            let expected = (winner, Some(kind), hostname.map(str::to_owned));
            assert_eq!(read(target, 0, aliases), expected, "{target} {aliases:?}");
        }
    }

    /// ExternalName.
    #[test]
    fn a_service_that_is_an_alias_stays_a_service() {
        for aliases in [&["db.example.com"][..], &["orders.billing"], &["orders.shop.svc.cluster.local"]] {
            assert_eq!(read("orders.billing", 1, aliases), (1, Some(NameKind::Service), None), "{aliases:?}");
            assert_eq!(read("orders", 0, aliases), (0, Some(NameKind::Service), None), "{aliases:?}");
        }
    }
}
