//! The sources in their order, asked for one target.

use std::{future::Future, pin::pin, sync::Arc, task::Poll};

use super::explain::Step;
use crate::{
    Error,
    error::Kind,
    plan::Plan,
    source::{Lookup, Source, State, Update},
};

/// One conversation with each source.
#[derive(Debug)]
pub(super) struct Chain {
    plan: Plan,
    links: Vec<Link>,
    incumbent: Incumbent,
}

/// The place of the source that the endpoints in use are from.
pub(super) type Incumbent = Option<usize>;

/// What is believed of the source whose endpoints are in use, when it has none this time.
///
/// Another source may know other addresses under the same name (DNS the virtual IP, a registry the pods): it does
/// not take over because this one cannot be asked for a moment, nor for a "no" that nothing has confirmed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// There are no endpoints in use: everybody is asked.
    None,
    /// Neither its failure nor its "no" lets another source take over.
    Full,
    /// It has said no before, long enough ago: if it says so again, others are asked.
    NoMore,
}

impl Trust {
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

/// What the chain as a whole says, with each source's part.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) update: Update,
    pub(super) steps: Vec<Step>,
    pub(super) winner: Option<&'static str>,
    /// Why there are no endpoints, with every source's reason.
    pub(super) error: Option<Error>,
}

impl Chain {
    pub(super) fn open(plan: Plan, sources: &[Arc<dyn Source>], incumbent: Incumbent) -> Self {
        let link = |source: &Arc<dyn Source>| Link {
            name: source.name(),
            failure_is_final: source.failure_is_final(),
            empty_is_final: source.empty_is_final(),
            lookup: source.open(&plan),
        };
        let links = sources.iter().map(link).collect();
        Self { plan, links, incumbent }
    }

    /// The source that the endpoints in use are from, for the chain that takes the place of this one.
    pub(super) fn incumbent(&self) -> Incumbent {
        self.incumbent
    }

    /// Asks the sources in order; the first one with endpoints wins.
    pub(super) async fn ask(&mut self, trust: Trust, early: &mut (dyn FnMut(Update) + Send)) -> Round {
        let mut told = Told::default();
        for (at, link) in self.links.iter_mut().enumerate() {
            let mut update = link.lookup.ask(early).await;
            if matches!(&update.state, State::Ready(endpoints) if endpoints.is_empty()) {
                update.state = State::Empty;
            }
            told.steps.push(Step::new(link.name, &update.state, update.evidence.clone()));
            let stays = self.incumbent == Some(at) && trust.survives(&update);
            match &update.state {
                State::Ready(_) => {
                    self.incumbent = Some(at);
                    return Round { update, steps: told.steps, winner: Some(link.name), error: None };
                }
                says => {
                    let last_word = link.is_final(says);
                    told.is_final |= last_word;
                    let ends = stays || last_word;
                    told.add(link.name, update);
                    if ends {
                        break;
                    }
                }
            }
        }
        told.conclude(&self.plan)
    }

    /// Completes when any source has news.
    pub(super) fn changed(&mut self) -> impl Future<Output = ()> + Send + '_ {
        let mut all: Vec<_> = self.links.iter_mut().map(|link| link.lookup.changed()).collect();
        std::future::poll_fn(move |cx| {
            let news = all.iter_mut().any(|one| pin!(one).as_mut().poll(cx).is_ready());
            if news { Poll::Ready(()) } else { Poll::Pending }
        })
    }
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

/// What has been said so far, without endpoints.
#[derive(Debug, Default)]
struct Told {
    steps: Vec<Step>,
    causes: Vec<Error>,
    no: Option<Update>,
    failed: bool,
    /// The last one asked knows better than all after it.
    is_final: bool,
}

impl Told {
    fn add(&mut self, source: &'static str, update: Update) {
        let said: Vec<String> = update.evidence.iter().map(ToString::to_string).collect();
        let because = |kind| Error::new(kind, format!("{source}: {}", said.join(", ")));
        match &update.state {
            State::Failed(error) => {
                self.failed = true;
                self.causes.push(Error::joined(error.kind(), source, vec![error.clone()]));
            }
            State::Empty => self.causes.push(because(Kind::Empty)),
            State::NotFound => self.causes.push(because(Kind::NotFound)),
            // A source that was not meant at all is no reason.
            State::NotApplicable | State::Ready(_) if said.is_empty() => {}
            State::NotApplicable | State::Ready(_) => self.causes.push(because(Kind::NotFound)),
        }
        if matches!(update.state, State::Empty | State::NotFound) {
            let merged = match self.no.take() {
                Some(before) if matches!(before.state, State::Empty) => before,
                _ => update,
            };
            self.no = Some(merged);
        }
    }

    /// A failure outweighs a "no": the source that failed might have had endpoints.
    fn conclude(self, plan: &Plan) -> Round {
        let target = &plan.target;
        let mut authoritative = false;
        let (state, error, ttl) = if self.failed {
            let kinds = || self.causes.iter().map(Error::kind);
            // What may be better in a moment outweighs what somebody has to set right.
            let kind = [Kind::Timeout, Kind::Transient, Kind::Config]
                .into_iter()
                .find(|kind| kinds().any(|k| k == *kind))
                .unwrap_or(Kind::Transient);
            let error = Error::joined(kind, format!("`{target}` could not be resolved"), self.causes);
            (State::Failed(error.clone()), error, None)
        } else if let Some(no) = self.no {
            let kind = if matches!(no.state, State::Empty) { Kind::Empty } else { Kind::NotFound };
            let what = if kind == Kind::Empty { "has no endpoints" } else { "was not found" };
            let error = Error::joined(kind, format!("`{target}` {what}"), self.causes);
            // Where later sources were asked as well, it is not its word alone.
            authoritative = no.authoritative && self.is_final;
            (no.state, error, no.ttl)
        } else {
            let error = Error::joined(Kind::Config, format!("no source can answer `{target}`"), self.causes);
            (State::Failed(error.clone()), error, None)
        };
        let update = Update { ttl, authoritative, ..Update::new(state) };
        Round { update, steps: self.steps, winner: None, error: Some(error) }
    }
}
