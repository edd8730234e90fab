//! The sources in their order, queried for one target.

use std::{future::Future, pin::pin, sync::Arc, task::Poll};

use super::address_filter::AddressFilter;
use super::explain::{Explanation, Step, describe};
use crate::{
    Error,
    endpoint::Endpoint,
    error::Kind,
    plan::{NameKind, Plan},
    refresh::View,
    source::{Evidence, Lookup, Source, State, Update},
};

/// One lookup in each source.
#[derive(Debug)]
pub(super) struct Chain {
    plan: Plan,
    links: Vec<Link>,
    filter: AddressFilter,
    /// The index of the incumbent: the source that the endpoints in use came from.
    incumbent: Option<usize>,
}

/// How much weight the incumbent's answer has when it brings no endpoints.
///
/// Another source may know other addresses under the same name: DNS the virtual IP, a registry the pods. So it must not
/// take over because the incumbent fails for a moment, or because of a negative answer that is not confirmed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IncumbentTrust {
    /// No endpoints are in use: every source is queried.
    None,
    /// Neither a failure nor a negative answer of the incumbent lets another source take over.
    Full,
    /// The incumbent's first negative answer is old enough: a second one lets the later sources be queried.
    UnlessNegative,
}

impl IncumbentTrust {
    /// Whether `update`, an answer of the incumbent, keeps the later sources from being queried.
    fn survives(self, update: &Update) -> bool {
        match update.state {
            State::Failed(_) => self != Self::None,
            State::Empty | State::NotFound => self == Self::Full && !update.authoritative,
            State::Ready(_) | State::NotApplicable => false,
        }
    }
}

#[derive(Debug)]
struct Link {
    name: &'static str,
    failure_is_final: bool,
    empty_is_final: bool,
    lookup: Box<dyn Lookup>,
}

impl Link {
    fn is_final(&self, state: &State) -> bool {
        match state {
            State::Failed(_) => self.failure_is_final,
            State::Empty => self.empty_is_final,
            _ => false,
        }
    }
}

impl Chain {
    /// Opens a lookup in each source. A chain that replaces another one keeps its incumbent.
    pub(super) fn open(
        plan: Plan,
        sources: &[Arc<dyn Source>],
        filter: AddressFilter,
        replaced: Option<&Self>,
    ) -> Self {
        let link = |source: &Arc<dyn Source>| Link {
            name: source.name(),
            failure_is_final: source.failure_is_final(),
            empty_is_final: source.empty_is_final(),
            lookup: source.open(&plan),
        };
        let links = sources.iter().map(link).collect();
        Self { plan, links, filter, incumbent: replaced.and_then(|chain| chain.incumbent) }
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Queries the sources in order; the first one with endpoints wins.
    pub(super) async fn query(&mut self, trust: IncumbentTrust, early: &mut (dyn FnMut(Update) + Send)) -> RoundResult {
        let mut summary = RoundSummary::default();
        let mut last_resort = None;
        for (at, link) in self.links.iter_mut().enumerate() {
            let (filter, name) = (self.filter, link.name);
            let mut early = |mut update: Update| {
                filter.apply(name, &mut update);
                if matches!(update.state, State::Ready(_)) {
                    early(update);
                }
            };
            let mut update = link.lookup.ask(&mut early).await;
            filter.apply(name, &mut update);
            if matches!(&update.state, State::Ready(endpoints) if endpoints.is_empty()) {
                update.state = State::Empty;
            }
            summary.steps.push(Step::new(link.name, &update.state, update.evidence.clone()));
            if matches!(update.state, State::Ready(_)) {
                self.incumbent = Some(at);
                // The endpoints of an incumbent that gave way are unreachable: they go at once.
                update.authoritative |= last_resort.is_some();
                return RoundResult { update, steps: summary.steps, winner: Some(link.name), error: None };
            }
            let incumbent_stays = self.incumbent == Some(at) && trust.survives(&update);
            if self.incumbent == Some(at) {
                last_resort = link.lookup.last_resort().and_then(|mut update| {
                    filter.apply(name, &mut update);
                    let is_ready = matches!(update.state, State::Ready(_));
                    is_ready.then(|| (summary.steps.len() - 1, name, update))
                });
            }
            let is_final = link.is_final(&update.state);
            summary.add(link.name, update);
            summary.is_final |= is_final;
            if incumbent_stays || is_final {
                break;
            }
        }
        match last_resort {
            Some((step, name, update)) if !summary.is_final => summary.resort_to(step, name, update),
            _ => summary.conclude(&self.plan),
        }
    }

    /// Tells the incumbent that requests could not connect to its endpoints.
    pub(super) fn on_unreachable(&mut self, endpoints: &[Endpoint]) {
        let Some(incumbent) = self.incumbent.and_then(|at| self.links.get_mut(at)) else { return };
        for endpoint in endpoints {
            incumbent.lookup.on_unreachable(endpoint);
        }
    }

    /// Completes when any source has a change to report.
    pub(super) fn changed(&mut self) -> impl Future<Output = ()> + Send + '_ {
        let mut all: Vec<_> = self.links.iter_mut().map(|link| link.lookup.changed()).collect();
        std::future::poll_fn(move |cx| {
            let changed = all.iter_mut().any(|one| pin!(one).as_mut().poll(cx).is_ready());
            if changed { Poll::Ready(()) } else { Poll::Pending }
        })
    }
}

/// The combined answer of one round over the sources, with each source's part.
#[derive(Debug)]
pub(super) struct RoundResult {
    update: Update,
    steps: Vec<Step>,
    winner: Option<&'static str>,
    /// Why the round found no endpoints, with every source's reason.
    error: Option<Error>,
}

impl RoundResult {
    /// A round that failed before any source was queried.
    pub(super) fn failed(error: Error) -> Self {
        let update = Update::new(State::Failed(error.clone()));
        Self { update, steps: Vec::new(), winner: None, error: Some(error) }
    }

    pub(super) fn update(&self) -> &Update {
        &self.update
    }

    pub(super) fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// The explanation that replaces `before`.
    pub(super) fn explain(self, before: &Explanation, context: Vec<Evidence>, view: &View) -> Explanation {
        Explanation {
            target: before.target.clone(),
            context,
            steps: self.steps,
            winner: self.winner,
            // The kind of a name stays known while the sources fail.
            name_kind: self.update.name_kind.or(before.name_kind),
            freshness: describe(&view.freshness),
            endpoints: view.set.clone(),
            unreachable: Vec::new(),
        }
    }
}

/// The answers of a round so far, none of which brought endpoints.
#[derive(Debug, Default)]
struct RoundSummary {
    steps: Vec<Step>,
    causes: Vec<Error>,
    /// The negative answer to return if no source failed: the first `Empty`, else the last `NotFound`.
    negative: Option<Update>,
    failed: bool,
    /// What the name is, although it has no endpoints.
    name_kind: Option<NameKind>,
    /// The last source queried overrides all later ones.
    is_final: bool,
}

impl RoundSummary {
    fn add(&mut self, source: &'static str, update: Update) {
        let evidence: Vec<String> = update.evidence.iter().map(ToString::to_string).collect();
        let cause = |kind, without_evidence: &str| {
            let reason = if evidence.is_empty() { without_evidence.to_owned() } else { evidence.join(", ") };
            Error::new(kind, format!("{source}: {reason}"))
        };
        match &update.state {
            State::Failed(error) => {
                self.failed = true;
                self.causes.push(Error::joined(error.kind(), source, vec![error.clone()]));
            }
            State::Empty => self.causes.push(cause(Kind::Empty, "no endpoints")),
            State::NotFound => self.causes.push(cause(Kind::NotFound, "no such name")),
            // A source that does not apply to the target is not a cause.
            State::NotApplicable | State::Ready(_) if evidence.is_empty() => {}
            State::NotApplicable | State::Ready(_) => self.causes.push(cause(Kind::NotFound, "")),
        }
        // A source that denies a name says nothing about what the name is elsewhere.
        let is_known = matches!(update.state, State::Empty) || update.name_kind == Some(NameKind::Host);
        self.name_kind = self.name_kind.or(update.name_kind.filter(|_| is_known));
        if matches!(update.state, State::Empty | State::NotFound) {
            let negative = match self.negative.take() {
                Some(before) if matches!(before.state, State::Empty) => before,
                _ => update,
            };
            self.negative = Some(negative);
        }
    }

    /// Keeps the endpoints of the incumbent, whose answer is that of `step`: it gave way, but there is nothing better.
    fn resort_to(mut self, step: usize, source: &'static str, update: Update) -> RoundResult {
        if let Some(step) = self.steps.get_mut(step) {
            *step = Step::new(source, &update.state, update.evidence.clone());
        }
        RoundResult { update, steps: self.steps, winner: Some(source), error: None }
    }

    /// A failure outweighs a negative answer: the source that failed might have had endpoints.
    fn conclude(self, plan: &Plan) -> RoundResult {
        let target = &plan.target;
        let mut authoritative = false;
        let (state, error, ttl) = if self.failed {
            let kinds = || self.causes.iter().map(Error::kind);
            // An error that may pass outweighs one that the configuration has to fix.
            let kind = [Kind::Timeout, Kind::Transient, Kind::Config]
                .into_iter()
                .find(|kind| kinds().any(|k| k == *kind))
                .unwrap_or(Kind::Transient);
            let error = Error::joined(kind, format!("`{target}` could not be resolved"), self.causes);
            (State::Failed(error.clone()), error, None)
        } else if let Some(negative) = self.negative {
            let (kind, what) = match negative.state {
                State::Empty => (Kind::Empty, "has no endpoints"),
                _ => (Kind::NotFound, "was not found"),
            };
            let error = Error::joined(kind, format!("`{target}` {what}"), self.causes);
            // Where later sources were queried as well, the answer is not this source's alone.
            authoritative = negative.authoritative && self.is_final;
            (negative.state, error, negative.ttl)
        } else {
            let error = Error::joined(Kind::Config, format!("no source can resolve `{target}`"), self.causes);
            (State::Failed(error.clone()), error, None)
        };
        let update = Update { ttl, authoritative, name_kind: self.name_kind, ..Update::new(state) };
        RoundResult { update, steps: self.steps, winner: None, error: Some(error) }
    }
}
