//! The DNS source, which first asks DNS for the cluster domain if nothing else states it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{DnsConfig, DnsSource, answer::Answer, message::Rtype};
use crate::{
    Error, clock,
    name::{ClusterDomain, Target},
    plan::{Plan, Scope},
    source::{BoxFuture, Evidence, Lookup, Source, State, Update},
};

/// How long a negative answer for the cluster domain is used.
const PROBE_AGAIN: Duration = Duration::from_secs(30);

/// The DNS source of one context. It probes the cluster domain only when a lookup reaches DNS, so a target that an
/// earlier source answers causes no DNS query.
#[derive(Clone, Debug)]
pub(crate) struct ProbingDns {
    dns: DnsSource,
    scope: Scope,
    has_nameservers: bool,
    probe: Arc<Probe>,
}

#[derive(Debug, Default)]
struct Probe {
    /// Locked during the query, so that there is only one at a time.
    result: tokio::sync::Mutex<ProbeResult>,
    evidence: Mutex<Option<Evidence>>,
}

#[derive(Debug, Default)]
struct ProbeResult {
    domain: Option<ClusterDomain>,
    answered_at: Option<Instant>,
}

impl ProbingDns {
    pub(crate) fn new(config: &DnsConfig, scope: Scope) -> Self {
        let has_nameservers = !config.nameservers.is_empty();
        Self { dns: DnsSource::new(config), scope, has_nameservers, probe: Arc::default() }
    }

    /// The query for the cluster domain and its answer, if the query was sent.
    pub(crate) fn evidence(&self) -> Option<Evidence> {
        self.probe.evidence.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the cluster domain, or `None` if this is not the DNS of a cluster. A failed query is not an answer:
    /// every lookup that depends on the domain fails too.
    async fn domain(&self) -> Result<Option<ClusterDomain>, Error> {
        let mut result = self.probe.result.lock().await;
        let fresh = result.answered_at.is_some_and(|at| clock::now().saturating_duration_since(at) < PROBE_AGAIN);
        if result.domain.is_none() && !fresh {
            let (domain, evidence) = self.dns.probe_cluster_domain().await;
            *self.probe.evidence.lock().unwrap_or_else(PoisonError::into_inner) = Some(evidence);
            result.domain = domain?;
            result.answered_at = Some(clock::now());
        }
        Ok(result.domain.clone())
    }
}

impl DnsSource {
    /// Queries the schema's own TXT record (kubernetes/dns specification 1.1.0, section 2.2), which exists if this is
    /// the DNS of a Kubernetes cluster with the usual domain.
    async fn probe_cluster_domain(&self) -> (Result<Option<ClusterDomain>, Error>, Evidence) {
        const USUAL: &str = "cluster.local";
        let outcome = self.nameservers.query(&format!("dns-version.{USUAL}"), Rtype::Txt, false).await;
        let evidence = outcome.evidence.into_iter().next().unwrap_or_else(|| Evidence::new("dns-version", "not asked"));
        let domain = |answer| matches!(answer, Answer::Found { .. }).then(|| ClusterDomain::new(USUAL).ok()).flatten();
        (outcome.result.map(domain), evidence)
    }
}

impl Source for ProbingDns {
    fn name(&self) -> &'static str {
        self.dns.name()
    }

    fn open(&self, plan: &Plan) -> Box<dyn Lookup> {
        let known = self.scope.cluster_domain.is_some() || !Plan::wants_cluster_domain(&plan.target);
        if known || !self.has_nameservers {
            return self.dns.open(plan);
        }
        Box::new(ProbingLookup { source: self.clone(), target: plan.target.clone(), opened: None })
    }
}

#[derive(Debug)]
struct ProbingLookup {
    source: ProbingDns,
    target: Target,
    /// The lookup, and the cluster domain that it was planned with.
    opened: Option<(Option<ClusterDomain>, Box<dyn Lookup>)>,
}

impl ProbingLookup {
    async fn round(&mut self, early: &mut (dyn FnMut(Update) + Send)) -> Update {
        let domain = match self.source.domain().await {
            Ok(domain) => domain,
            Err(error) => return Update::new(State::Failed(error)),
        };
        let opened = self.opened.take().filter(|(planned, _)| *planned == domain).unwrap_or_else(|| {
            let scope = Scope::new(self.source.scope.namespace.clone(), domain.clone());
            (domain, self.source.dns.open(&Plan::new(&self.target, &scope)))
        });
        self.opened.insert(opened).1.ask(early).await
    }
}

impl Lookup for ProbingLookup {
    fn ask<'a>(&'a mut self, early: &'a mut (dyn FnMut(Update) + Send)) -> BoxFuture<'a, Update> {
        Box::pin(self.round(early))
    }
}
