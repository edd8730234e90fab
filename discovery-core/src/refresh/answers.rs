//! What each kind of answer does.

use std::time::{Duration, Instant};

use super::{
    Freshness, Refresh, View,
    defaults::{BACKOFF_PART, REFRESH_PART},
    machine::Good,
    schedule::earlier,
    spread::spread,
};
use crate::{
    Error,
    endpoint::{Endpoint, EndpointSet},
    source::Update,
};

impl Refresh {
    pub(super) fn ready(
        &mut self,
        endpoints: &[Endpoint],
        update: &Update,
        now: Instant,
        jitter: &mut dyn FnMut() -> f64,
    ) -> Option<View> {
        let (min, max, ttl) = (self.settings.min_refresh(), self.settings.max_refresh(), update.ttl);
        let hold = if update.authoritative { Duration::ZERO } else { self.settings.removal_hold() };
        let set = self.holds.merge(&self.view.set, EndpointSet::new(endpoints.to_vec()), hold, now);
        self.good = Some(Good { at: now, lasting: ttl.is_none() });
        self.denied = None;
        self.ejected.clear();
        self.failures.reset();
        self.denials.reset();
        let expiry = ttl.and_then(|ttl| now.checked_add(spread(ttl.clamp(min, max), &REFRESH_PART, min, jitter)));
        let removal = self.holds.next(hold).map(|at| self.schedule.spaced(at.max(now)));
        self.schedule.set(earlier(expiry, removal));
        self.view.show(set, Freshness::Fresh)
    }

    pub(super) fn deny(
        &mut self,
        standing: Freshness,
        update: &Update,
        now: Instant,
        jitter: &mut dyn FnMut() -> f64,
    ) -> Option<View> {
        self.failures.reset();
        if !update.authoritative && !self.accepts_negative() {
            self.await_confirmation(now);
            return None;
        }
        let (spacing, max) = (self.settings.spacing(), self.settings.negative_max());
        let growing = self.denials.step(spacing, max);
        let cap = if self.waiting { self.settings.negative_max_waiting() } else { growing };
        let wait = update.ttl.unwrap_or(max).min(cap);
        self.schedule.set(now.checked_add(spread(wait, &BACKOFF_PART, spacing, jitter)));
        self.drop_all(standing)
    }

    /// Sees to it that the next negative answer is asked for long enough after the first one to confirm it.
    fn await_confirmation(&mut self, now: Instant) {
        let first = *self.denied.get_or_insert(now);
        let left = self.settings.confirm_after().saturating_sub(now.saturating_duration_since(first));
        let at = now.checked_add(left.min(self.settings.max_refresh()));
        self.schedule.set(at.map(|at| self.schedule.spaced(at)));
    }

    pub(super) fn fail(&mut self, error: &Error, now: Instant, jitter: &mut dyn FnMut() -> f64) -> Option<View> {
        let step = self.failures.step(self.settings.backoff_initial(), self.settings.backoff_max());
        self.schedule.set(now.checked_add(spread(step, &BACKOFF_PART, Duration::ZERO, jitter)));
        let Some(good) = self.good.as_mut() else {
            return self.drop_all(Freshness::Failed(error.clone()));
        };
        if std::mem::take(&mut good.lasting) {
            good.at = now;
        }
        let since = good.at;
        if now.saturating_duration_since(since) > self.settings.max_stale() {
            return self.drop_all(Freshness::Failed(error.clone()));
        }
        let set = self.ejected.take_back(&self.view.set, now);
        self.view.show(set, Freshness::Stale { since, error: error.clone() })
    }

    fn drop_all(&mut self, standing: Freshness) -> Option<View> {
        self.good = None;
        self.denied = None;
        self.holds.clear();
        self.ejected.clear();
        self.view.show(EndpointSet::default(), standing)
    }
}
