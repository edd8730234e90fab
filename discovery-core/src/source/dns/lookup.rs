//! The conversation with DNS about one target.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use super::{
    addresses::{AddressQuestion, Addresses},
    ask::Asker,
    families::FamilyMemory,
    record::Srv,
    services::{ServiceMemory, ServiceQuestion, Services, Targets},
};
use crate::{
    Error,
    endpoint::Endpoint,
    name::Hostname,
    plan::Families,
    plan::{Candidate, NameKind, Plan, Question},
    source::{BoxFuture, Evidence, Lookup, State, Update},
};

/// The first of the pauses before a family that failed is asked again while the other one is fine; it
/// doubles each time, up to [`MENDING_MAX`].
const MENDING_MIN: Duration = Duration::from_secs(1);

/// A nameserver that never answers AAAA costs a question every half minute, no more.
const MENDING_MAX: Duration = Duration::from_secs(30);

/// A name that was found outside of the cluster is looked for inside again every so many rounds: its Service may
/// have been created since.
const LOOK_INSIDE_EVERY: u32 = 20;

/// Walks the candidates of one plan and remembers what it has learned.
#[derive(Debug)]
pub(super) struct DnsLookup {
    asker: Arc<Asker>,
    candidates: Vec<Candidate>,
    refused: Vec<String>,
    port: u16,
    families: Families,
    max_stale: Duration,
    memory: Memory,
}

#[derive(Debug, Default)]
struct Memory {
    /// The candidate that answered last; asked alone until it says no.
    winner: Option<usize>,
    /// The winner said no once; the confirming round walks all candidates.
    doubted: bool,
    addresses: FamilyMemory,
    services: ServiceMemory,
    /// Rounds since a name that was found outside of the cluster was looked for inside.
    rounds: u32,
    /// Rounds in a row in which one family failed.
    mending: u32,
}

/// What one candidate answered.
enum Reply {
    Ready { endpoints: Vec<Endpoint>, ttl: Duration },
    NoData { ttl: Duration },
    NxDomain { ttl: Duration },
    Failed(Error),
}

impl DnsLookup {
    pub(super) fn new(asker: Arc<Asker>, plan: &Plan, families: Families, max_stale: Duration) -> Self {
        Self {
            asker,
            candidates: plan.dns.clone(),
            refused: plan.refused.clone(),
            port: plan.target.port().number().map_or(0, u16::from),
            families,
            max_stale,
            memory: Memory::default(),
        }
    }

    async fn round(&mut self, early: &mut (dyn FnMut(Update) + Send)) -> Update {
        let mut evidence: Vec<Evidence> = Vec::new();
        let state = self.walk(&mut evidence, early).await;
        let (state, ttl) = match state {
            Ok((State::NotApplicable, _)) => (State::NotApplicable, None),
            Ok((state, ttl)) => (state, Some(ttl)),
            Err(error) => (State::Failed(error), None),
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

    /// Asks the candidates in order until one has endpoints. One that cannot be asked ends the walk: what
    /// comes after it must not be taken for the answer.
    async fn walk(
        &mut self,
        evidence: &mut Vec<Evidence>,
        early: &mut (dyn FnMut(Update) + Send),
    ) -> Result<(State, Duration), Error> {
        if self.candidates.is_empty() {
            // What is missing is among the evidence; it says nothing about the name.
            return Ok((State::NotApplicable, Duration::MAX));
        }
        let won = |at: &usize| self.candidates.get(*at).is_some_and(|candidate| candidate.in_cluster);
        let in_cluster = self.memory.winner.is_some_and(|at| won(&at));
        self.memory.rounds = (self.memory.rounds + 1) % LOOK_INSIDE_EVERY;
        let look_inside = !in_cluster && self.memory.rounds == 0;
        let alone = self.memory.winner.filter(|_| !self.memory.doubted && !look_inside);
        let mut exists = false;
        let mut negative = Duration::MAX;
        for at in 0..self.candidates.len() {
            if alone.is_some_and(|winner| winner != at) {
                continue;
            }
            // A Service that has gone must not be looked for in the open: its name may be somebody's there.
            if in_cluster && self.candidates.get(at).is_some_and(|candidate| candidate.name_kind == NameKind::Host) {
                continue;
            }
            match self.candidate(at, evidence, early).await {
                Reply::Ready { endpoints, ttl } => {
                    self.memory.winner = Some(at);
                    self.memory.doubted = false;
                    return Ok((State::Ready(endpoints), ttl));
                }
                Reply::NoData { ttl } => {
                    exists = true;
                    negative = negative.min(ttl);
                }
                Reply::NxDomain { ttl } => negative = negative.min(ttl),
                Reply::Failed(error) => return Err(error),
            }
        }
        self.memory.doubted = true;
        Ok((if exists { State::Empty } else { State::NotFound }, negative))
    }

    async fn candidate(
        &mut self,
        at: usize,
        evidence: &mut Vec<Evidence>,
        early: &mut (dyn FnMut(Update) + Send),
    ) -> Reply {
        let Some(candidate) = self.candidates.get(at).cloned() else {
            return Reply::Failed(Error::transient("no such candidate"));
        };
        // What another name has taught says nothing of this one.
        let remembered = self.memory.winner == Some(at);
        match &candidate.question {
            Question::Addresses(name) => {
                let mut memory = if remembered { self.memory.addresses.clone() } else { FamilyMemory::default() };
                let question = AddressQuestion {
                    asker: &self.asker,
                    name: name.as_str(),
                    families: self.families,
                    max_stale: self.max_stale,
                };
                let port = self.port;
                let mut tell = |ips: &[IpAddr], ttl: Duration| {
                    let mut update = Update::new(State::Ready(hosts(&candidate, ips, port))).with_ttl(ttl);
                    update.name_kind = name_kind(&candidate);
                    early(update);
                };
                let answer = question.ask(&mut memory, evidence, &mut tell).await;
                let reply = self.of_addresses(&candidate, answer);
                if matches!(reply, Reply::Ready { .. }) {
                    self.memory.addresses = memory;
                }
                reply
            }
            Question::Srv { name, only } => {
                let mut memory = if remembered { self.memory.services.clone() } else { ServiceMemory::default() };
                let question = ServiceQuestion {
                    asker: &self.asker,
                    name: name.as_str(),
                    only: only.as_ref(),
                    families: self.families,
                    max_stale: self.max_stale,
                };
                let answer = question.ask(&mut memory, evidence).await;
                let reply = of_services(&candidate, answer);
                if matches!(reply, Reply::Ready { .. }) {
                    self.memory.services = memory;
                }
                reply
            }
        }
    }

    fn of_addresses(&mut self, candidate: &Candidate, answer: Addresses) -> Reply {
        match answer {
            Addresses::Found { ips, ttl, failed } => {
                let ttl = match failed {
                    None => {
                        self.memory.mending = 0;
                        ttl
                    }
                    Some(_) => {
                        let pause = MENDING_MIN.saturating_mul(1 << self.memory.mending.min(5)).min(MENDING_MAX);
                        self.memory.mending = self.memory.mending.saturating_add(1);
                        ttl.min(pause)
                    }
                };
                Reply::Ready { endpoints: hosts(candidate, &ips, self.port), ttl }
            }
            Addresses::NoData { ttl } => Reply::NoData { ttl },
            Addresses::NxDomain { ttl } => Reply::NxDomain { ttl },
            Addresses::Failed(error) => Reply::Failed(error),
        }
    }
}

impl Lookup for DnsLookup {
    fn ask<'a>(&'a mut self, early: &'a mut (dyn FnMut(Update) + Send)) -> BoxFuture<'a, Update> {
        Box::pin(self.round(early))
    }
}

/// How a candidate reads the name. A name within the cluster's domain that is no Service's is none of the readings.
fn name_kind(candidate: &Candidate) -> Option<NameKind> {
    (candidate.name_kind != NameKind::Host || !candidate.in_cluster).then_some(candidate.name_kind)
}

/// The endpoints of a name: one for each address, but one with both addresses where there is one of each
/// family.
fn hosts(candidate: &Candidate, ips: &[IpAddr], port: u16) -> Vec<Endpoint> {
    let mut endpoints = backends(ips, port);
    if candidate.name_kind == NameKind::Pod {
        let label = candidate.question.name().labels().next().and_then(|label| Hostname::new(label).ok());
        if let Some(hostname) = label {
            endpoints = endpoints.into_iter().map(|e| e.with_hostname(hostname.clone())).collect();
        }
    }
    endpoints
}

fn backends(ips: &[IpAddr], port: u16) -> Vec<Endpoint> {
    let at = |ip: &IpAddr| SocketAddr::new(*ip, port);
    if let [one, other] = ips
        && one.is_ipv4() != other.is_ipv4()
    {
        let (v4, v6) = if one.is_ipv4() { (one, other) } else { (other, one) };
        return vec![Endpoint::new(at(v4)).with_addr(at(v6))];
    }
    ips.iter().map(|ip| Endpoint::new(at(ip))).collect()
}

fn of_services(candidate: &Candidate, answer: Services) -> Reply {
    match answer {
        Services::NoData { ttl } => Reply::NoData { ttl },
        Services::NxDomain { ttl } => Reply::NxDomain { ttl },
        Services::Failed(error) => Reply::Failed(error),
        Services::Found { records, targets, ttl } => {
            let endpoints = pods(candidate, &records, &targets);
            if endpoints.is_empty() { Reply::NoData { ttl } } else { Reply::Ready { endpoints, ttl } }
        }
    }
}

/// In the cluster's zone the weights are only 100 divided by the number of addresses: all are equal.
/// Elsewhere priority and weight mean what RFC 2782 says.
fn pods(candidate: &Candidate, records: &[Srv], targets: &Targets) -> Vec<Endpoint> {
    // `_port._protocol.service…`: targets below the service are pods with a host name.
    let mut labels = candidate.question.name().as_str().splitn(3, '.');
    let service = labels.nth(2).unwrap_or_default();
    let mut endpoints = Vec::with_capacity(records.len());
    for srv in records {
        let hostname = srv
            .target
            .strip_suffix(service)
            .and_then(|rest| rest.strip_suffix('.'))
            .filter(|_| candidate.in_cluster)
            .and_then(|label| Hostname::new(label).ok());
        let ips = targets.get(&srv.target).map_or(&[][..], Vec::as_slice);
        for endpoint in backends(ips, srv.port) {
            let endpoint = match &hostname {
                Some(hostname) => endpoint.with_hostname(hostname.clone()),
                None => endpoint,
            };
            endpoints.push(if candidate.in_cluster {
                endpoint
            } else {
                endpoint.with_priority(srv.priority).with_weight(srv.weight.into())
            });
        }
    }
    endpoints
}
