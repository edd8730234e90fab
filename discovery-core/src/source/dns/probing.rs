//! DNS, after it has been asked for the cluster's domain where nothing else tells it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    Error, clock,
    name::{ClusterDomain, Target},
    plan::{Plan, Scope},
    source::{BoxFuture, Evidence, Lookup, Source, State, Update, dns::DnsSource},
};

/// How long a cluster domain that could not be found out is not asked for again.
const PROBE_AGAIN: Duration = Duration::from_secs(30);

/// The DNS source of one context. The question for the domain is a part of its turn: whoever is answered by a
/// source before it, asks DNS nothing.
#[derive(Clone, Debug)]
pub(crate) struct ProbingDns {
    dns: DnsSource,
    scope: Scope,
    has_nameservers: bool,
    probe: Arc<Probe>,
}

#[derive(Debug, Default)]
struct Probe {
    /// Locked while the question is under way, so that there is one at a time.
    answer: tokio::sync::Mutex<Answer>,
    evidence: Mutex<Option<Evidence>>,
}

#[derive(Debug, Default)]
struct Answer {
    domain: Option<ClusterDomain>,
    asked: Option<Instant>,
}

impl ProbingDns {
    pub(crate) fn new(dns: DnsSource, scope: Scope, has_nameservers: bool) -> Self {
        Self { dns, scope, has_nameservers, probe: Arc::default() }
    }

    /// What was asked and answered, if it was.
    pub(crate) fn evidence(&self) -> Option<Evidence> {
        self.probe.evidence.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A failure is no answer: what depends on it is not known either.
    async fn domain(&self) -> Result<Option<ClusterDomain>, Error> {
        let mut answer = self.probe.answer.lock().await;
        let fresh = answer.asked.is_some_and(|at| clock::now().saturating_duration_since(at) < PROBE_AGAIN);
        if answer.domain.is_none() && !fresh {
            let (domain, evidence) = self.dns.probe_cluster_domain().await;
            *self.probe.evidence.lock().unwrap_or_else(PoisonError::into_inner) = Some(evidence);
            answer.domain = domain?;
            answer.asked = Some(clock::now());
        }
        Ok(answer.domain.clone())
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
    /// The conversation, and the domain that it was planned with.
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
