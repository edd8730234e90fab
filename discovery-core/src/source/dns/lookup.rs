//! The lookup of one target in DNS: tries its candidate names and remembers which one has endpoints.

use std::{net::IpAddr, time::Duration};

use super::{
    DnsSource,
    addresses::{AddressFailure, AddressMemory, AddressSet, endpoints},
    answer::Answer,
    services::ServiceMemory,
};
use crate::{
    Error,
    endpoint::Endpoint,
    name::Hostname,
    plan::{Candidate, NameKind, Plan, Question},
    source::{BoxFuture, Evidence, Lookup, State, Update},
};

/// The first pause before a failed family is queried again while the other family answers. The pause doubles each time,
/// up to [`FAMILY_RETRY_MAX`].
const FAMILY_RETRY_MIN: Duration = Duration::from_secs(1);

/// A nameserver that never answers AAAA costs one query per half minute, no more.
const FAMILY_RETRY_MAX: Duration = Duration::from_secs(30);

/// If the winning name is outside the cluster, every so many rounds try the names inside again: the Service may have
/// been created in the meantime.
const TRY_CLUSTER_EVERY: u32 = 20;

/// Tries the candidates of one plan and remembers what the answers showed.
#[derive(Debug)]
pub(super) struct DnsLookup {
    source: DnsSource,
    candidates: Vec<Candidate>,
    refused: Vec<String>,
    port: u16,
    memory: Memory,
}

#[derive(Debug, Default)]
struct Memory {
    /// The candidate that had endpoints last. Only this one is queried until its answer is negative.
    winner: Option<usize>,
    /// The winner gave a negative answer once; the confirming round tries all candidates.
    doubted: bool,
    addresses: AddressMemory,
    services: ServiceMemory,
    /// The number of rounds, modulo [`TRY_CLUSTER_EVERY`].
    rounds: u32,
    /// The number of consecutive rounds in which one family failed.
    family_failures: u32,
}

impl DnsLookup {
    pub(super) fn new(source: DnsSource, plan: &Plan) -> Self {
        Self {
            source,
            candidates: plan.dns.clone(),
            refused: plan.refused.clone(),
            port: plan.target.port().number().map_or(0, u16::from),
            memory: Memory::default(),
        }
    }

    async fn round(&mut self, early: &mut (dyn FnMut(Update) + Send)) -> Update {
        let mut evidence: Vec<Evidence> = Vec::new();
        // Without candidates, the evidence says what is missing. It says nothing about the name.
        let (state, ttl) = match self.candidates.as_slice() {
            [] => (State::NotApplicable, None),
            _ => match self.try_candidates(&mut evidence, early).await {
                Ok((state, ttl)) => (state, Some(ttl)),
                Err(error) => (State::Failed(error), None),
            },
        };
        evidence.extend(self.refused.iter().map(|what| Evidence::new("not asked", what)));
        let mut update = Update::new(state).with_evidence(evidence);
        if matches!(update.state, State::Ready(_)) {
            update.name_kind = self.memory.winner.and_then(|at| self.candidates.get(at)).and_then(name_kind);
        }
        match ttl {
            Some(ttl) => update.with_ttl(ttl),
            None => update,
        }
    }

    /// Queries the candidates in order until one has endpoints. A failed query ends the round: the answer of a later
    /// candidate must not be taken for the answer of this one.
    ///
    /// Where A is denied and only AAAA fails, the candidate most likely does not exist: the other candidates inside the
    /// cluster are queried, and if none has endpoints, the round fails. The name never leads out of the cluster then.
    async fn try_candidates(
        &mut self,
        evidence: &mut Vec<Evidence>,
        early: &mut (dyn FnMut(Update) + Send),
    ) -> Result<(State, Duration), Error> {
        let mut exists = false;
        let mut negative_ttl = Duration::MAX;
        let mut failed: Option<Error> = None;
        for (at, candidate) in self.next_candidates() {
            if failed.is_some() && !candidate.in_cluster {
                break;
            }
            let remembered = self.memory.winner == Some(at);
            let answer = match self.query(&candidate, remembered, evidence, early).await {
                Ok(answer) => answer,
                Err(failure) if failure.a_denied && !remembered => {
                    failed.get_or_insert(failure.error);
                    continue;
                }
                Err(failure) => return Err(failure.error),
            };
            match answer {
                Answer::Found { value, ttl } => {
                    self.memory.winner = Some(at);
                    self.memory.doubted = false;
                    return Ok((State::Ready(value), ttl));
                }
                Answer::NoData { ttl } => {
                    exists = true;
                    negative_ttl = negative_ttl.min(ttl);
                }
                Answer::NxDomain { ttl } => negative_ttl = negative_ttl.min(ttl),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        self.memory.doubted = true;
        Ok((if exists { State::Empty } else { State::NotFound }, negative_ttl))
    }

    /// Returns the candidates of the next round: the winner alone, or all if its answer needs confirmation or a new
    /// Service may have been created.
    fn next_candidates(&mut self) -> Vec<(usize, Candidate)> {
        let memory = &mut self.memory;
        let in_cluster = memory.winner.and_then(|at| self.candidates.get(at)).is_some_and(|winner| winner.in_cluster);
        memory.rounds = (memory.rounds + 1) % TRY_CLUSTER_EVERY;
        let try_cluster = !in_cluster && memory.rounds == 0;
        let alone = memory.winner.filter(|_| !memory.doubted && !try_cluster);
        // A deleted Service must not be looked up outside the cluster, where its name may belong to a stranger.
        let is_allowed = |candidate: &Candidate| !(in_cluster && candidate.name_kind == NameKind::Host);
        let all = self.candidates.iter().enumerate();
        all.filter(|(at, candidate)| alone.is_none_or(|winner| winner == *at) && is_allowed(candidate))
            .map(|(at, candidate)| (at, candidate.clone()))
            .collect()
    }

    /// Queries one candidate. The memory is used only for the name that it comes from.
    async fn query(
        &mut self,
        candidate: &Candidate,
        remembered: bool,
        evidence: &mut Vec<Evidence>,
        early: &mut (dyn FnMut(Update) + Send),
    ) -> Result<Answer<Vec<Endpoint>>, AddressFailure> {
        match &candidate.question {
            Question::Addresses(_) => {
                let mut memory = if remembered { self.memory.addresses.clone() } else { AddressMemory::default() };
                let answer = self.query_addresses(candidate, &mut memory, evidence, early).await?;
                if matches!(answer, Answer::Found { .. }) {
                    self.memory.addresses = memory;
                }
                Ok(answer)
            }
            Question::Srv { name, only } => {
                let mut memory = if remembered { self.memory.services.clone() } else { ServiceMemory::default() };
                let (name, only, in_cluster) = (name.as_str(), only.as_ref(), candidate.in_cluster);
                let answer = self.source.services(name, only, in_cluster, &mut memory, evidence).await?;
                if matches!(answer, Answer::Found { .. }) {
                    self.memory.services = memory;
                }
                Ok(answer)
            }
        }
    }

    async fn query_addresses(
        &mut self,
        candidate: &Candidate,
        memory: &mut AddressMemory,
        evidence: &mut Vec<Evidence>,
        early: &mut (dyn FnMut(Update) + Send),
    ) -> Result<Answer<Vec<Endpoint>>, AddressFailure> {
        let (port, max_stale) = (self.port, self.source.max_stale);
        let mut publish = |ips: &[IpAddr], ttl: Duration| {
            let mut update = Update::new(State::Ready(hosts(candidate, ips, port))).with_ttl(ttl);
            update.name_kind = name_kind(candidate);
            early(update);
        };
        let name = candidate.question.name().as_str();
        let mut answer = self.source.addresses(name, memory, max_stale, evidence, &mut publish).await?;
        if let Answer::Found { value, ttl } = &mut answer {
            *ttl = self.retry_failed_family(value, *ttl);
        }
        Ok(answer.map(|set| hosts(candidate, &set.ips, port)))
    }

    /// Shortens the TTL if one family failed, so that the family is queried again soon.
    fn retry_failed_family(&mut self, set: &AddressSet, ttl: Duration) -> Duration {
        let failures = &mut self.memory.family_failures;
        if set.failed.is_none() {
            *failures = 0;
            return ttl;
        }
        let pause = FAMILY_RETRY_MIN.saturating_mul(1 << (*failures).min(5)).min(FAMILY_RETRY_MAX);
        *failures = failures.saturating_add(1);
        ttl.min(pause)
    }
}

impl Lookup for DnsLookup {
    fn ask<'a>(&'a mut self, early: &'a mut (dyn FnMut(Update) + Send)) -> BoxFuture<'a, Update> {
        Box::pin(self.round(early))
    }
}

/// Returns how a candidate reads the name. A host within the cluster domain is not a Service name, so its kind is
/// unknown.
fn name_kind(candidate: &Candidate) -> Option<NameKind> {
    (candidate.name_kind != NameKind::Host || !candidate.in_cluster).then_some(candidate.name_kind)
}

/// Returns the endpoints of a name; those of a pod's name carry the pod's hostname.
fn hosts(candidate: &Candidate, ips: &[IpAddr], port: u16) -> Vec<Endpoint> {
    let mut endpoints = endpoints(ips, port);
    if candidate.name_kind == NameKind::Pod {
        let label = candidate.question.name().labels().next().and_then(|label| Hostname::new(label).ok());
        if let Some(hostname) = label {
            endpoints = endpoints.into_iter().map(|e| e.with_hostname(hostname.clone())).collect();
        }
    }
    endpoints
}
