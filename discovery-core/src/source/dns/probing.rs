//! The DNS source, which first asks DNS for the cluster domain if nothing else states it.

use std::{pin::pin, sync::Arc, time::Duration};

use super::{
    DnsConfig, DnsSource,
    nameservers::Zone,
    probe::{DomainAnswer, Probe, USUAL, usual_domain},
};
use crate::{
    Error, clock,
    name::{ClusterDomain, Host, Target},
    plan::{Plan, Scope},
    source::{BoxFuture, Evidence, Lookup, Source, State, Update, hosts::Hosts},
};

/// How long a name that may be a host waits for the cluster domain before it is looked up as a host meanwhile: enough
/// for one lost packet, and no noticeable delay where a nameserver never answers.
const PATIENCE: Duration = Duration::from_millis(200);

/// The first pause before a host is looked up again while the cluster domain is unknown, because it may be a Service.
/// The pause doubles each time, up to [`UNKNOWN_RETRY_MAX`].
const UNKNOWN_RETRY_MIN: Duration = Duration::from_secs(1);

/// A nameserver that never answers for the cluster domain costs one query per half minute and name, no more.
const UNKNOWN_RETRY_MAX: Duration = Duration::from_secs(30);

/// The DNS source of one context. It probes the cluster domain only when a lookup reaches DNS, so a target that an
/// earlier source answers causes no DNS query.
#[derive(Clone, Debug)]
pub(crate) struct ProbingDns {
    dns: DnsSource,
    scope: Scope,
    has_nameservers: bool,
    probe: Probe,
}

impl ProbingDns {
    pub(crate) fn new(config: &DnsConfig, scope: Scope, hosts: Arc<Hosts>) -> Self {
        let has_nameservers = !config.nameservers.is_empty();
        // Without a domain, the probe asks for the usual one.
        let zone = scope.cluster_domain.as_ref().map_or_else(|| Zone::of(USUAL), Zone::new);
        let dns = DnsSource::new(config, zone, hosts);
        Self { probe: Probe::new(dns.clone()), dns, scope, has_nameservers }
    }

    /// The query for the cluster domain and its answer, if the query was sent, and what the hosts file has.
    pub(crate) fn evidence(&self) -> impl Iterator<Item = Evidence> {
        self.probe.evidence().into_iter().chain(self.dns.hosts.evidence(clock::now()))
    }

    /// Whether the cluster domain would add readings to `plan`, which was made without it.
    fn depends_on_domain(&self, plan: &Plan) -> bool {
        Plan::wants_cluster_domain(&plan.target) && self.plan(&plan.target, usual_domain()).dns != plan.dns
    }

    /// Whether the name has one label and is read as a host, as outside a cluster.
    fn is_bare_host(&self, plan: &Plan) -> bool {
        let is_bare = matches!(plan.target.host(), Host::Name { name, .. } if name.label_count() == 1);
        is_bare && self.scope.search.is_some()
    }

    fn plan(&self, target: &Target, domain: Option<ClusterDomain>) -> Plan {
        Plan::new(target, &Scope { cluster_domain: domain, ..self.scope.clone() })
    }
}

impl Source for ProbingDns {
    fn name(&self) -> &'static str {
        self.dns.name()
    }

    fn open(&self, plan: &Plan) -> Box<dyn Lookup> {
        if !self.has_nameservers && self.is_bare_host(plan) {
            // Without a nameserver a bare name is one for the other sources and the hosts file; DNS does not fail for it.
            return self.dns.open(&Plan { dns: Vec::new(), ..plan.clone() });
        }
        if self.scope.cluster_domain.is_some() || !self.has_nameservers || !self.depends_on_domain(plan) {
            return self.dns.open(plan);
        }
        Box::new(ProbingLookup::new(self.clone(), plan.target.clone()))
    }
}

#[derive(Debug)]
struct ProbingLookup {
    source: ProbingDns,
    target: Target,
    /// What the name means while the cluster domain is unknown: a host at most.
    without_domain: Plan,
    /// The lookup, and the cluster domain that it was planned with.
    opened: Option<(Option<ClusterDomain>, Box<dyn Lookup>)>,
    /// The number of consecutive rounds in which the cluster domain was unknown.
    unknown_rounds: u32,
}

impl ProbingLookup {
    fn new(source: ProbingDns, target: Target) -> Self {
        let without_domain = source.plan(&target, None);
        Self { source, target, without_domain, opened: None, unknown_rounds: 0 }
    }

    async fn round(&mut self, early: &mut (dyn FnMut(Update) + Send)) -> Update {
        if self.is_in_hosts_file() {
            return self.ask_planned(None, early).await;
        }
        let probe = self.source.probe.clone();
        let mut answer = pin!(probe.answer());
        if self.without_domain.dns.is_empty() {
            return self.ask_knowing(answer.await, early).await;
        }
        let patience = probe.patience_left(PATIENCE, clock::now());
        if let Ok(answer) = tokio::time::timeout(patience, &mut answer).await {
            return self.ask_knowing(answer, early).await;
        }
        let known = async {
            match answer.await {
                DomainAnswer::Known(domain) => domain,
                DomainAnswer::Denied | DomainAnswer::Failed(_) => std::future::pending().await,
            }
        };
        let domain = tokio::select! {
            biased;
            domain = known => domain,
            update = self.ask_without(early) => return update,
        };
        self.ask_with(Some(domain), early).await
    }

    /// Outside a cluster the hosts file comes first, and needs no cluster domain.
    fn is_in_hosts_file(&self) -> bool {
        let dns = &self.source.dns;
        let hosts = self.without_domain.hosts.as_ref().filter(|_| self.source.scope.search.is_some());
        hosts.is_some_and(|hosts| dns.hosts.find(&hosts.name, dns.families, clock::now()).is_ok())
    }

    async fn ask_knowing(&mut self, answer: DomainAnswer, early: &mut (dyn FnMut(Update) + Send)) -> Update {
        match answer {
            DomainAnswer::Known(domain) => self.ask_with(Some(domain), early).await,
            DomainAnswer::Denied => self.ask_with(None, early).await,
            DomainAnswer::Failed(error) if self.without_domain.dns.is_empty() => self.unreadable(error),
            DomainAnswer::Failed(_) => self.ask_without(early).await,
        }
    }

    /// Looks up the readings of the name for this cluster domain, or for none.
    async fn ask_with(&mut self, domain: Option<ClusterDomain>, early: &mut (dyn FnMut(Update) + Send)) -> Update {
        self.unknown_rounds = 0;
        self.ask_planned(domain, early).await
    }

    /// Looks up the name as a host while the cluster domain is unknown, and shortens the TTL, so that the other
    /// readings are used soon after the domain is known.
    async fn ask_without(&mut self, early: &mut (dyn FnMut(Update) + Send)) -> Update {
        let mut update = self.ask_planned(None, early).await;
        let pause = UNKNOWN_RETRY_MIN.saturating_mul(1 << self.unknown_rounds.min(5)).min(UNKNOWN_RETRY_MAX);
        self.unknown_rounds = self.unknown_rounds.saturating_add(1);
        update.ttl = update.ttl.map(|ttl| ttl.min(pause));
        update
    }

    async fn ask_planned(&mut self, domain: Option<ClusterDomain>, early: &mut (dyn FnMut(Update) + Send)) -> Update {
        let opened = self.opened.take().filter(|(planned, _)| *planned == domain).unwrap_or_else(|| {
            let lookup = self.source.dns.open(&self.source.plan(&self.target, domain.clone()));
            (domain, lookup)
        });
        self.opened.insert(opened).1.ask(early).await
    }

    /// The answer for a name of which every reading needs the cluster domain, while the query for it fails.
    fn unreadable(&self, error: Error) -> Update {
        let refused = &self.without_domain.refused;
        let error = Error::joined(error.kind(), refused.join("; "), vec![error]);
        let evidence = refused.iter().map(|what| Evidence::new("not asked", what));
        Update::new(State::Failed(error)).with_evidence(evidence)
    }
}

impl Lookup for ProbingLookup {
    fn ask<'a>(&'a mut self, early: &'a mut (dyn FnMut(Update) + Send)) -> BoxFuture<'a, Update> {
        Box::pin(self.round(early))
    }
}
