//! The conversation about one target.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::select_all;

use super::{
    read::{Said, Seen, read},
    watch::{Lease, Registry},
};
use crate::{
    Error, clock,
    name::Target,
    plan::{Families, NameKind, Plan, ServiceRef},
    source::{BoxFuture, Evidence, Lookup, State, Update},
};

pub(super) struct KubernetesLookup {
    registry: Arc<Registry>,
    families: Families,
    target: Target,
    services: Vec<ServiceRef>,
    /// The name may also be an ordinary host's.
    may_be_host: bool,
    /// One for each of the first Services, as far as they had to be asked.
    asked: Vec<Asked>,
}

struct Asked {
    lease: Lease,
    seen: Option<Seen>,
    /// The last good answer is of this.
    told: Option<Seen>,
}

impl KubernetesLookup {
    pub(super) fn new(registry: Arc<Registry>, families: Families, plan: &Plan) -> Self {
        let (target, services) = (plan.target.clone(), plan.services.clone());
        let may_be_host = plan.dns.iter().any(|candidate| candidate.name_kind == NameKind::Host);
        Self { registry, families, target, services, may_be_host, asked: Vec::new() }
    }

    /// The Services in their order; the first that there is answers, and later ones are not asked any more.
    async fn answer(&mut self) -> Update {
        let mut evidence = Vec::new();
        let mut unsure = false;
        for at in 0..self.services.len() {
            let (state, stale, said) = self.reading(at).await;
            evidence.push(said);
            match state {
                State::NotFound => {}
                State::NotApplicable => unsure = true,
                State::Empty if stale.is_none() => {
                    self.asked.truncate(at + 1);
                    return Update::new(state).with_authority().with_evidence(evidence);
                }
                State::Ready(_) => {
                    self.asked.truncate(at + 1);
                    return self.ready(at, state, stale, evidence);
                }
                state => {
                    self.asked.truncate(at + 1);
                    return Update::new(state).with_evidence(evidence);
                }
            }
        }
        let silent = unsure || self.services.is_empty();
        Update::new(if silent { State::NotApplicable } else { State::NotFound }).with_evidence(evidence)
    }

    /// What was heard last is given once, to whoever asks for the first time; after that it is a failure to hear
    /// more, which keeps what was given and says that it is old.
    fn ready(&mut self, at: usize, state: State, stale: Option<Error>, evidence: Vec<Evidence>) -> Update {
        let pod = self.services.get(at).is_some_and(|service| service.pod.is_some());
        let reading = if pod { NameKind::Pod } else { NameKind::Service };
        let Some(asked) = self.asked.get_mut(at) else { return Update::new(state) };
        let before = std::mem::replace(&mut asked.told, asked.seen);
        let update = match stale {
            None => Update::new(state).with_authority(),
            Some(error) if before.map(Seen::version) == asked.seen.map(Seen::version) => {
                Update::new(State::Failed(error))
            }
            Some(_) => Update::new(state).with_ttl(AGAIN),
        };
        update.with_name_kind(reading).with_evidence(evidence)
    }

    /// Waits for the first list, no longer than [`PATIENCE`].
    async fn reading(&mut self, at: usize) -> (State, Option<Error>, Evidence) {
        let Some(service) = self.services.get(at) else {
            return (State::NotApplicable, None, Evidence::new("EndpointSlices", "nothing to ask"));
        };
        if self.asked.len() <= at {
            self.asked.push(Asked { lease: self.registry.lease(&service.namespace), seen: None, told: None });
        }
        let deadline = tokio::time::Instant::from(clock::now() + PATIENCE);
        let asked = &mut self.asked[at];
        // `example.com` is read as Service `example` of namespace `com` as well: that this one is forbidden is no news.
        if !self.may_be_host || at + 1 < self.services.len() {
            asked.lease.feed().is_certain();
        }
        asked.lease.feed().ensure_worker();
        loop {
            asked.lease.changes.mark_unchanged();
            let now = clock::now();
            let feed = asked.lease.feed();
            let hold = feed.timing().hold;
            let reading = read(&mut feed.picture(), service, &self.target, self.families, hold, now);
            asked.seen = Some(reading.seen);
            match reading.said {
                Said::State(state, stale) => return (state, stale, reading.evidence),
                Said::Waiting => {}
            }
            if tokio::time::timeout_at(deadline, asked.lease.changes.changed()).await.is_err() {
                return (State::NotApplicable, None, reading.evidence);
            }
        }
    }
}

impl Lookup for KubernetesLookup {
    fn ask<'a>(&'a mut self, _early: &'a mut (dyn FnMut(Update) + Send)) -> BoxFuture<'a, Update> {
        Box::pin(self.answer())
    }

    fn changed(&mut self) -> BoxFuture<'_, ()> {
        if self.asked.is_empty() {
            return Box::pin(std::future::pending());
        }
        let each = self.asked.iter_mut().zip(&self.services).map(|(asked, service)| Box::pin(asked.news(service)));
        let all = select_all(each.collect::<Vec<_>>());
        Box::pin(async move {
            all.await;
        })
    }
}

impl Asked {
    /// Completes when what is known differs from what was read last.
    async fn news(&mut self, service: &ServiceRef) {
        loop {
            if self.seen != Some(Seen::of(&self.lease.feed().picture(), service)) {
                return;
            }
            if self.lease.changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl fmt::Debug for KubernetesLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubernetesLookup").field("services", &self.services).finish_non_exhaustive()
    }
}

/// How long the first question waits for the first list: an API server answers within milliseconds, and DNS is there
/// if it does not.
const PATIENCE: Duration = Duration::from_secs(2);

/// When to ask again for what is only the last that was heard.
const AGAIN: Duration = Duration::from_secs(1);
