//! What is believed, and the events that change it.

use std::{collections::BTreeSet, time::Instant};

use super::{
    Freshness, RefreshSettings, View, backoff::Backoff, defaults::NEWS_SPACING, eject::Ejected, hold::Holds,
    schedule::Schedule,
};
use crate::{
    endpoint::{Endpoint, Identity},
    source::{State, Update},
};

/// What is believed of one target, and when to ask again.
///
/// Tell it when a question begins ([`on_query`](Self::on_query)) and its answer ([`on_update`](Self::on_update));
/// between the two, [`next_query_at`](Self::next_query_at) needs no attention. Every method that may change what others see
/// returns the new view if it did.
#[derive(Debug)]
pub struct Refresh {
    pub(super) settings: RefreshSettings,
    pub(super) view: View,
    pub(super) schedule: Schedule,
    pub(super) holds: Holds,
    pub(super) ejected: Ejected,
    /// The answer that the set is from; `None` while the set is empty.
    pub(super) good: Option<Good>,
    /// When the first of the unconfirmed "no such name" or "no endpoints" came.
    pub(super) denied: Option<Instant>,
    pub(super) failures: Backoff,
    pub(super) denials: Backoff,
    pub(super) waiting: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Good {
    pub(super) at: Instant,
    /// It came without a TTL: it held until the first failure.
    pub(super) lasting: bool,
}

impl Refresh {
    /// Nothing is known; the first question is due now.
    #[must_use]
    pub fn new(settings: RefreshSettings, now: Instant) -> Self {
        Self {
            schedule: Schedule::new(settings.spacing(), now),
            settings,
            view: View::unknown(),
            holds: Holds::default(),
            ejected: Ejected::default(),
            good: None,
            denied: None,
            failures: Backoff::default(),
            denials: Backoff::default(),
            waiting: false,
        }
    }

    /// What is believed now.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// When to ask next; `None` when the answer cannot change without [news](Self::on_change).
    #[must_use]
    pub fn next_query_at(&self) -> Option<Instant> {
        self.schedule.next()
    }

    /// Whether "no such name" or "no endpoints", as the answer to the question that has begun, would take the
    /// endpoints away: there are none, or it would confirm an earlier one.
    #[must_use]
    pub fn accepts_negative(&self) -> bool {
        let confirms = |(first, asked): (Instant, Instant)| {
            asked.saturating_duration_since(first) >= self.settings.confirm_after()
        };
        self.view.set.is_empty() || self.denied.zip(self.schedule.asked()).is_some_and(confirms)
    }

    /// A question begins.
    pub fn on_query(&mut self, now: Instant) {
        self.schedule.begin(now);
    }

    /// The whole answer of the sources came. `jitter` is uniform in `[0, 1)`.
    ///
    /// `NotApplicable` stands for "no source has anything to say", and is taken as `NotFound` without a TTL;
    /// `Ready` without endpoints as `Empty`.
    pub fn on_update(&mut self, update: &Update, now: Instant, jitter: &mut dyn FnMut() -> f64) -> Option<View> {
        self.schedule.answered(now);
        match &update.state {
            State::Ready(endpoints) if !endpoints.is_empty() => self.ready(endpoints, update, now, jitter),
            State::Ready(_) | State::Empty => self.deny(Freshness::Empty, update, now, jitter),
            State::NotFound => self.deny(Freshness::NotFound, update, now, jitter),
            State::NotApplicable => self.deny(Freshness::NotFound, &Update::new(State::NotFound), now, jitter),
            State::Failed(error) => self.fail(error, now, jitter),
        }
    }

    /// A part of the answer came that requests can be sent to. It adds endpoints and does nothing else: what
    /// it lacks, and what it says differently, is decided by the whole answer.
    pub fn on_early(&mut self, update: &Update, now: Instant) -> Option<View> {
        let State::Ready(endpoints) = &update.state else { return None };
        let shown = &self.view.set;
        let known: BTreeSet<_> = shown.iter().flat_map(Endpoint::addrs).collect();
        let added: Vec<_> = endpoints.iter().filter(|e| !known.contains(&e.addr())).cloned().collect();
        if added.is_empty() {
            return None;
        }
        let standing = if shown.is_empty() {
            self.good = Some(Good { at: now, lasting: false });
            Freshness::Fresh
        } else {
            self.view.standing.clone()
        };
        self.ejected.forget(&added);
        let set = shown.iter().cloned().chain(added).collect();
        self.view.show(set, standing)
    }

    /// A request could not connect to an endpoint: asks again soon, and stops offering the endpoint where
    /// the last answer does not vouch for it.
    ///
    /// One that the last good answer lacks goes for good, unless it is the only one left: there is nothing better
    /// to try. Where the last answer was negative or failed, it vouches for none of them: at most half of the set
    /// is left out, and an endpoint comes back after ten seconds, or when an answer names it again. One that is
    /// not in the set changes nothing.
    pub fn on_unreachable(&mut self, who: &Identity, now: Instant) -> Option<View> {
        self.view.set.get_by_identity(who)?;
        self.on_request(now);
        let rest = if self.denied.is_some() || self.view.standing.is_stale() {
            self.ejected.leave_out(who, &self.view.set, now)?
        } else if self.holds.contains(who) && self.view.set.len() > 1 {
            self.view.set.iter().filter(|e| e.identity() != who).cloned().collect()
        } else {
            return None;
        };
        self.view.show(rest, self.view.standing.clone())
    }

    /// Somebody wants to know: asks soon, at the pace of connect failures.
    pub fn on_request(&mut self, now: Instant) {
        self.schedule.demand(self.settings.failure_refresh_min().max(self.settings.spacing()), now);
    }

    /// Somebody waits for endpoints, or nobody does any more. While somebody does, negative answers are asked
    /// for again sooner.
    pub fn on_waiting(&mut self, waiting: bool, now: Instant) {
        self.waiting = waiting;
        if !waiting || !matches!(self.view.standing, Freshness::Empty | Freshness::NotFound) {
            return;
        }
        let pause = self.settings.negative_max_waiting();
        if let Some(at) = self.schedule.asked().and_then(|asked| asked.checked_add(pause)) {
            self.schedule.hasten(at.max(now));
        }
    }

    /// A source has news: asks now. Only a burst of news is slowed down, to one question in 20 ms: the source that would
    /// be asked too often is the one that called.
    pub fn on_change(&mut self, now: Instant) {
        self.schedule.demand(NEWS_SPACING.min(self.settings.spacing()), now);
    }
}
