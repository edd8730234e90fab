//! The state machine of one target.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    RefreshSettings, Standing, View,
    hold::Hold,
    pause,
    settings::{ASK_AT_MOST_EVERY, BACKOFF_MAX, BACKOFF_MIN, CONFIRM_AFTER, NEGATIVE_MAX, NEGATIVE_MIN},
};
use crate::{
    Error,
    endpoint::{Endpoint, EndpointSet, Identity},
    source::{State, Update},
};

/// The state of one target. Every event takes `now` and returns what readers should see from now on, if
/// that differs; [`ask_at`](Self::ask_at) is when to ask the sources next.
#[derive(Debug)]
pub struct Refresh {
    settings: RefreshSettings,
    view: View,
    hold: Hold,
    /// The last good answer.
    good: Option<Instant>,
    /// The first definitive "no" after it.
    denied: Option<Instant>,
    asked: Option<Instant>,
    asking: bool,
    ask_at: Option<Instant>,
    /// Failures, or "no"s without endpoints, in a row.
    streak: u32,
    waiting: bool,
}

impl Refresh {
    /// Nothing is known.
    #[must_use]
    pub fn new(settings: RefreshSettings) -> Self {
        Self {
            settings,
            view: View::default(),
            hold: Hold::default(),
            good: None,
            denied: None,
            asked: None,
            asking: false,
            ask_at: None,
            streak: 0,
            waiting: false,
        }
    }

    /// What readers see.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// When to ask next; `None` when the answer cannot change by itself.
    #[must_use]
    pub fn ask_at(&self) -> Option<Instant> {
        self.ask_at
    }

    /// The sources are being asked.
    pub fn on_ask(&mut self, now: Instant) {
        self.asked = Some(now);
        self.asking = true;
        self.ask_at = None;
    }

    /// The sources have answered. `jitter` is uniform in `[0, 1)`.
    pub fn on_update(&mut self, update: &Update, now: Instant, jitter: &mut dyn FnMut() -> f64) -> Option<View> {
        self.asking = false;
        match &update.state {
            State::Ready(endpoints) if !endpoints.is_empty() => self.ready(endpoints.clone(), update.ttl, now, jitter),
            State::Ready(_) | State::Empty => self.denied(&Standing::Empty, update.ttl, now, jitter),
            State::NotFound | State::Silent => self.denied(&Standing::NotFound, update.ttl, now, jitter),
            State::Failed(error) => self.failed(error, now, jitter),
        }
    }

    /// A part of the answer that is good enough to send requests to; the rest is on its way. It may add
    /// endpoints, and nothing else.
    pub fn on_early(&mut self, update: &Update, now: Instant) -> Option<View> {
        let State::Ready(endpoints) = &update.state else { return None };
        if endpoints.is_empty() {
            return None;
        }
        self.good = Some(now);
        self.denied = None;
        let kept = |shown: &&Endpoint| !endpoints.iter().any(|new| new.identity() == shown.identity());
        let next = self.view.set.iter().filter(kept).chain(endpoints).cloned().collect();
        let standing = match self.view.standing {
            Standing::Stale { .. } => self.view.standing.clone(),
            _ => Standing::Fresh,
        };
        self.show(next, standing)
    }

    /// A request could not connect to this endpoint. One that is shown only because its removal is not
    /// confirmed, or because the sources cannot be asked, is taken out at once, unless it is the last one.
    /// The sources are asked again, at most once a second.
    pub fn on_unreachable(&mut self, identity: &Identity, now: Instant) -> Option<View> {
        self.ask_soon(now);
        let doubtful = self.hold.holds(identity) || matches!(self.view.standing, Standing::Stale { .. });
        if !doubtful || self.view.set.len() <= 1 || self.view.set.get_by_identity(identity).is_none() {
            return None;
        }
        self.hold.forget(identity);
        let next = self.view.set.iter().filter(|e| e.identity() != identity).cloned().collect();
        self.show(next, self.view.standing.clone())
    }

    /// A source has news, or somebody wants to know: ask soon, at most once a second.
    pub fn on_news(&mut self, now: Instant) {
        self.ask_soon(now);
    }

    /// Somebody waits for endpoints, or nobody does any more.
    pub fn on_waiting(&mut self, waiting: bool, now: Instant) {
        let begins = waiting && !self.waiting;
        self.waiting = waiting;
        if begins && self.view.set.is_empty() && !matches!(self.view.standing, Standing::Unknown) {
            self.ask_soon(now);
        }
    }

    fn ready(
        &mut self,
        endpoints: Vec<Endpoint>,
        ttl: Option<Duration>,
        now: Instant,
        jitter: &mut dyn FnMut() -> f64,
    ) -> Option<View> {
        self.good = Some(now);
        self.denied = None;
        self.streak = 0;
        let next = self.hold.admit(&self.view.set, endpoints, self.settings.removal_hold, now);
        let (min, max) = (self.settings.min_refresh, self.settings.max_refresh);
        let mut pause = ttl.map(|ttl| pause::before_expiry(ttl, min, max, jitter));
        if !self.hold.is_empty() {
            // The question that confirms a removal.
            let confirm = self.settings.removal_hold.max(min);
            pause = Some(pause.map_or(confirm, |pause| pause.min(confirm)));
        }
        self.ask_at = pause.and_then(|pause| now.checked_add(pause));
        self.show(next, Standing::Fresh)
    }

    /// A definitive "no".
    fn denied(
        &mut self,
        standing: &Standing,
        ttl: Option<Duration>,
        now: Instant,
        jitter: &mut dyn FnMut() -> f64,
    ) -> Option<View> {
        let unconfirmed = match self.denied {
            None => true,
            Some(first) => now.saturating_duration_since(first) < CONFIRM_AFTER,
        };
        if !self.view.set.is_empty() && unconfirmed {
            self.denied.get_or_insert(now);
            self.streak = 0;
            self.ask_at = now.checked_add(CONFIRM_AFTER.max(self.settings.min_refresh));
            return None;
        }
        let max =
            if self.waiting { NEGATIVE_MIN } else { ttl.unwrap_or(NEGATIVE_MAX).clamp(NEGATIVE_MIN, NEGATIVE_MAX) };
        let pause = pause::growing(NEGATIVE_MIN, max, self.streak, jitter).max(self.settings.min_refresh);
        self.streak = self.streak.saturating_add(1);
        self.ask_at = now.checked_add(pause);
        self.hold.clear();
        self.good = None;
        self.show(EndpointSet::default(), standing.clone())
    }

    fn failed(&mut self, error: &Error, now: Instant, jitter: &mut dyn FnMut() -> f64) -> Option<View> {
        let pause = pause::growing(BACKOFF_MIN, BACKOFF_MAX, self.streak, jitter);
        self.streak = self.streak.saturating_add(1);
        self.ask_at = now.checked_add(pause);
        let believed = |since: Instant| now.saturating_duration_since(since) <= self.settings.max_stale;
        match self.good.filter(|_| !self.view.set.is_empty()) {
            Some(since) if believed(since) => self.stand(Standing::Stale { since, error: error.clone() }),
            _ => {
                self.hold.clear();
                self.good = None;
                self.denied = None;
                self.show(EndpointSet::default(), Standing::Failed(error.clone()))
            }
        }
    }

    /// At most once a second; while a question is under way its answer is the news.
    fn ask_soon(&mut self, now: Instant) {
        if self.asking {
            return;
        }
        let allowed = self.asked.and_then(|asked| asked.checked_add(ASK_AT_MOST_EVERY)).map_or(now, |at| at.max(now));
        self.ask_at = Some(self.ask_at.map_or(allowed, |planned| planned.min(allowed)));
    }

    fn stand(&mut self, standing: Standing) -> Option<View> {
        let differs = !self.view.standing.is_like(&standing);
        self.view.standing = standing;
        differs.then(|| self.view.clone())
    }

    /// Replaces the set if it differs, and says what there is to see.
    fn show(&mut self, next: EndpointSet, standing: Standing) -> Option<View> {
        if *self.view.set == next {
            return self.stand(standing);
        }
        let version = self.view.set.version() + 1;
        self.view = View { set: Arc::new(next.with_version(version)), standing };
        Some(self.view.clone())
    }
}
