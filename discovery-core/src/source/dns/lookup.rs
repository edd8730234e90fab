//! The lookup of one target in DNS: tries its candidate names and remembers which one has endpoints.

use std::time::Duration;

use super::{
    DnsSource,
    addresses::{AddressFailure, AddressMemory, AddressSet},
    answer::Answer,
    listed::ListedHost,
    reading::{ExcludedReadings, Reading},
    services::ServiceMemory,
};
use crate::{
    Error,
    endpoint::Endpoint,
    plan::{Candidate, NameKind, Plan, Question},
    source::{AddressKind, AddressScope, BoxFuture, Evidence, Lookup, State, Update},
};

/// The first pause before a failed family is queried again while the other family answers. The pause doubles each time,
/// up to [`FAMILY_RETRY_MAX`].
const FAMILY_RETRY_MIN: Duration = Duration::from_secs(1);

/// A nameserver that never answers AAAA costs one query per half minute, no more.
const FAMILY_RETRY_MAX: Duration = Duration::from_secs(30);

/// If the winning name is outside the cluster, every so many rounds try the names inside again: the Service may have
/// been created in the meantime.
const TRY_CLUSTER_EVERY: u32 = 20;

/// The same for a name in the hosts file, whose rounds are 5 s apart and send no query: every half minute.
const TRY_CLUSTER_EVERY_LISTED: u32 = 6;

/// Tries the candidates of one plan and remembers what the answers showed.
#[derive(Debug)]
pub(super) struct DnsLookup {
    source: DnsSource,
    candidates: Vec<Candidate>,
    listed: ListedHost,
    refused: Vec<String>,
    port: u16,
    memory: Memory,
}

#[derive(Debug, Default)]
struct Memory {
    /// How the last answer with endpoints reads the name. Only its winner is queried until the winner's answer is
    /// negative.
    reading: Option<Reading>,
    /// The winner gave a negative answer once; the confirming round tries all candidates.
    doubted: bool,
    /// What the last round without endpoints showed about the name.
    excluded: ExcludedReadings,
    addresses: AddressMemory,
    services: ServiceMemory,
    /// Which addresses the winner may have.
    address_scope: AddressScope,
    /// What the addresses of the winner stand for.
    address_kind: AddressKind,
    /// The name has had several addresses in one answer: if it is a Service, the addresses are those of its pods.
    has_pods: bool,
    /// The number of rounds since the names inside the cluster were tried.
    rounds: u32,
    /// The number of consecutive rounds in which one family failed.
    family_failures: u32,
}

impl DnsLookup {
    pub(super) fn new(source: DnsSource, plan: &Plan) -> Self {
        Self {
            source,
            candidates: plan.dns.clone(),
            listed: ListedHost::new(plan.hosts.clone()),
            refused: plan.refused.clone(),
            port: plan.target.port().number().map_or(0, u16::from),
            memory: Memory::default(),
        }
    }

    async fn round(&mut self, early: &mut (dyn FnMut(Update) + Send)) -> Update {
        let mut evidence: Vec<Evidence> = Vec::new();
        self.read_hosts_file(&mut evidence);
        // Without candidates, the evidence says what is missing. It says nothing about the name.
        let (state, ttl) = match self.candidates.as_slice() {
            [] if !self.listed.is_listed() => (State::NotApplicable, None),
            _ => match self.try_candidates(&mut evidence, early).await {
                Ok((state, ttl)) => (state, Some(ttl)),
                Err(error) => (State::Failed(error), None),
            },
        };
        evidence.extend(self.refused.iter().map(|what| Evidence::new("not asked", what)));
        let mut update = Update::new(state).with_evidence(evidence);
        if matches!(update.state, State::Ready(_)) {
            let found = self.memory.reading.as_ref();
            // The hosts file is complete, and a line that was removed must not stay in use.
            if self.listed.won {
                (update.name_kind, update.address_kind) = (Some(NameKind::Host), AddressKind::Backends);
            } else {
                (update.name_kind, update.address_kind) =
                    (found.and_then(Reading::name_kind), self.memory.address_kind);
                update.address_scope = self.memory.address_scope;
            }
        } else {
            update.name_kind = self.memory.excluded.name_kind();
        }
        match ttl {
            Some(ttl) => update.with_ttl(ttl),
            None => update,
        }
    }

    /// Looks the name up in the hosts file, unless it is a Service. The file comes before the queries for a host.
    fn read_hosts_file(&mut self, evidence: &mut Vec<Evidence>) {
        let winner = self.memory.winner().and_then(|at| self.candidates.get(at));
        let reads_as_host =
            self.memory.reading.as_ref().is_some_and(|reading| reading.name_kind() == Some(NameKind::Host));
        if winner.is_some_and(|winner| winner.in_cluster) && !reads_as_host {
            return;
        }
        self.listed.read(&self.source, evidence);
        if self.listed.is_listed() {
            self.memory.reading = None;
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
        let candidates = self.next_candidates();
        let are_all = candidates.len() == self.candidates.len() && self.refused.is_empty();
        self.memory.excluded = ExcludedReadings::default();
        for (at, candidate) in candidates {
            if failed.is_some() && !candidate.in_cluster {
                break;
            }
            if are_all {
                self.memory.excluded.on_query(&candidate);
            }
            if failed.is_none() && self.listed.is_before(at) {
                break;
            }
            let remembered = self.memory.winner() == Some(at);
            let answer = match self.query(at, &candidate, evidence, early).await {
                Ok(answer) => answer,
                Err(failure) if failure.a_denied && !remembered => {
                    failed.get_or_insert(failure.error);
                    continue;
                }
                Err(failure) => return Err(failure.error),
            };
            match answer {
                // CoreDNS's `autopath` answers for the host when it is asked for the pod.
                Answer::Found { value: (_, Some(reading)), .. }
                    if self.listed.is_listed() && reading.name_kind() == Some(NameKind::Host) =>
                {
                    break;
                }
                Answer::Found { value: (endpoints, reading), ttl } => {
                    self.listed.won = false;
                    self.memory.reading = reading;
                    self.memory.doubted = false;
                    return Ok((State::Ready(endpoints), ttl));
                }
                Answer::NoData { ttl } => {
                    self.memory.excluded.on_no_data(&candidate);
                    exists = true;
                    negative_ttl = negative_ttl.min(ttl);
                }
                Answer::NxDomain { ttl } => negative_ttl = negative_ttl.min(ttl),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        if let Some(listed) = self.listed.answer(self.port, evidence) {
            self.memory.doubted = false;
            return Ok(listed);
        }
        self.memory.doubted = true;
        Ok((if exists { State::Empty } else { State::NotFound }, negative_ttl))
    }

    /// Returns the candidates of the next round: the winner alone, or all if its answer needs confirmation or a new
    /// Service may have been created.
    fn next_candidates(&mut self) -> Vec<(usize, Candidate)> {
        let memory = &mut self.memory;
        let winner = memory.winner();
        let in_cluster = winner.and_then(|at| self.candidates.get(at)).is_some_and(|winner| winner.in_cluster);
        let every = if self.listed.won { TRY_CLUSTER_EVERY_LISTED } else { TRY_CLUSTER_EVERY };
        memory.rounds = if memory.rounds + 1 < every { memory.rounds + 1 } else { 0 };
        let try_cluster = !in_cluster && memory.rounds == 0;
        if self.listed.won && !try_cluster {
            return Vec::new();
        }
        let alone = winner.filter(|_| !memory.doubted && !try_cluster);
        // A deleted Service must not be looked up outside the cluster, where its name may belong to a stranger.
        let is_allowed = |candidate: &Candidate| !(in_cluster && candidate.name_kind == NameKind::Host);
        let all = self.candidates.iter().enumerate();
        all.filter(|(at, candidate)| alone.is_none_or(|winner| winner == *at) && is_allowed(candidate))
            .map(|(at, candidate)| (at, candidate.clone()))
            .collect()
    }

    /// Queries the candidate at index `at`. The memory is used only for the name that it comes from.
    async fn query(
        &mut self,
        at: usize,
        candidate: &Candidate,
        evidence: &mut Vec<Evidence>,
        early: &mut (dyn FnMut(Update) + Send),
    ) -> Result<Answer<(Vec<Endpoint>, Option<Reading>)>, AddressFailure> {
        let remembered = self.memory.winner() == Some(at);
        match &candidate.question {
            Question::Addresses(_) => {
                let mut memory = if remembered { self.memory.addresses.clone() } else { AddressMemory::default() };
                let answer = self.query_addresses(at, candidate, &mut memory, evidence, early).await?;
                if matches!(answer, Answer::Found { .. }) {
                    self.memory.addresses = memory;
                }
                Ok(answer)
            }
            Question::Srv { name, only } => {
                let mut memory = if remembered { self.memory.services.clone() } else { ServiceMemory::default() };
                let (name, only, in_cluster) = (name.as_str(), only.as_ref(), candidate.in_cluster);
                let answer = self.source.services(name, only, in_cluster, &mut memory, evidence).await?;
                if let Answer::Found { value, .. } = &answer {
                    self.memory.services = memory;
                    self.memory.address_kind = self.memory.kind_of_services(value, in_cluster);
                    self.memory.address_scope = self.source.address_scope(in_cluster, false);
                }
                // The target of an SRV record names the pod.
                let reading = Reading::new(&self.candidates, at, &[]);
                Ok(answer.map(|endpoints| (endpoints, reading)))
            }
        }
    }

    async fn query_addresses(
        &mut self,
        at: usize,
        candidate: &Candidate,
        memory: &mut AddressMemory,
        evidence: &mut Vec<Evidence>,
        early: &mut (dyn FnMut(Update) + Send),
    ) -> Result<Answer<(Vec<Endpoint>, Option<Reading>)>, AddressFailure> {
        let (port, max_stale, candidates) = (self.port, self.source.max_stale, &self.candidates);
        let read = |set: &AddressSet| {
            let reading = Reading::new(candidates, at, &set.aliases);
            let endpoints = reading.as_ref().map(|reading| reading.endpoints(set, port)).unwrap_or_default();
            (endpoints, reading)
        };
        let source = &self.source;
        let scope = |set: &AddressSet| {
            let owner = set.aliases.last().map(AsRef::as_ref);
            source.address_scope(candidate.in_cluster, leads_out(candidate, owner))
        };
        let mut publish = |set: &AddressSet, ttl: Duration| {
            let (endpoints, reading) = read(set);
            let mut update = Update::new(State::Ready(endpoints)).with_ttl(ttl);
            update.name_kind = reading.as_ref().and_then(Reading::name_kind);
            update.address_scope = scope(set);
            early(update);
        };
        let name = candidate.question.name().as_str();
        let answer = self.source.addresses(name, memory, max_stale, evidence, &mut publish).await?;
        Ok(match answer.into_found() {
            Ok((set, ttl)) => {
                let value = read(&set);
                let owner = set.aliases.last().map(AsRef::as_ref);
                self.memory.address_scope = scope(&set);
                self.memory.address_kind = self.memory.kind_of_addresses(candidate, value.0.len(), owner);
                Answer::Found { value, ttl: self.retry_failed_family(&set, ttl) }
            }
            Err(negative) => negative,
        })
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

impl Memory {
    /// What the addresses of a name stand for. One address of a Service is its virtual address, as far as DNS can say: a
    /// headless Service with a single pod looks the same. An alias that leads out of the cluster is a host.
    fn kind_of_addresses(&mut self, candidate: &Candidate, count: usize, owner: Option<&str>) -> AddressKind {
        if !candidate.in_cluster || leads_out(candidate, owner) {
            AddressKind::Host
        } else {
            self.kind_of_service(count, candidate.name_kind != NameKind::Pod)
        }
    }

    /// What the targets of SRV records stand for. In the cluster, a target without a hostname is the Service itself.
    fn kind_of_services(&mut self, endpoints: &[Endpoint], in_cluster: bool) -> AddressKind {
        let is_named = endpoints.iter().any(|endpoint| endpoint.hostname().is_some());
        self.kind_of_service(endpoints.len(), in_cluster && !is_named)
    }

    fn kind_of_service(&mut self, count: usize, may_be_virtual: bool) -> AddressKind {
        self.has_pods |= count > 1;
        if may_be_virtual && !self.has_pods { AddressKind::Virtual } else { AddressKind::Backends }
    }
}

/// Whether the candidate is one of the cluster, and the `owner` of its addresses is not.
fn leads_out(candidate: &Candidate, owner: Option<&str>) -> bool {
    let name = candidate.question.name().as_str();
    match name.find(SERVICES).and_then(|at| name.get(at..)) {
        Some(domain) if candidate.in_cluster => owner.is_some_and(|owner| !owner.ends_with(domain)),
        _ => false,
    }
}

/// What comes after the namespace in the name of a Service.
const SERVICES: &str = ".svc.";

impl Lookup for DnsLookup {
    fn ask<'a>(&'a mut self, early: &'a mut (dyn FnMut(Update) + Send)) -> BoxFuture<'a, Update> {
        Box::pin(self.round(early))
    }
}

impl Memory {
    fn winner(&self) -> Option<usize> {
        self.reading.as_ref().map(Reading::winner)
    }
}
