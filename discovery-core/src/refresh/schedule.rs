//! When to ask next.

use std::time::{Duration, Instant};

/// When the last question began, and when the next one is due. `None` as a time is "never": it lies beyond
/// what the clock can express, or there is no reason to ask.
#[derive(Debug)]
pub(super) struct Schedule {
    spacing: Duration,
    asked: Option<Instant>,
    in_flight: bool,
    /// What the last answer asks for.
    due: Option<Instant>,
    /// What happened since the last question began; an answer to that question does not settle it.
    urgent: Option<Instant>,
}

impl Schedule {
    /// The first question is due at once.
    pub(super) fn new(spacing: Duration, now: Instant) -> Self {
        Self { spacing, asked: None, in_flight: false, due: Some(now), urgent: None }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        earlier(self.due, self.urgent)
    }

    /// When the last question began.
    pub(super) fn asked(&self) -> Option<Instant> {
        self.asked
    }

    /// A question begins. Should its answer never be told, the next one is due as soon as it may be.
    pub(super) fn begin(&mut self, now: Instant) {
        self.asked = Some(now);
        self.in_flight = true;
        self.urgent = None;
        self.due = now.checked_add(self.spacing);
    }

    /// An answer came; one that nobody had announced counts as asked for just now.
    pub(super) fn answered(&mut self, now: Instant) {
        if !self.in_flight {
            self.begin(now);
        }
        self.in_flight = false;
    }

    /// The next question is due then, however soon after the last.
    pub(super) fn set(&mut self, at: Option<Instant>) {
        self.due = at;
    }

    /// The next question is due no later than `at`, as far as the ceiling allows; the next answer decides
    /// anew.
    pub(super) fn hasten(&mut self, at: Instant) {
        self.due = earlier(self.due, Some(self.spaced(at)));
    }

    /// As soon as `gap` after the beginning of the last question, but not before `now`. An answer that is on
    /// its way does not settle it.
    pub(super) fn demand(&mut self, gap: Duration, now: Instant) {
        let at = self.asked.and_then(|asked| asked.checked_add(gap)).map_or(now, |at| at.max(now));
        self.urgent = earlier(self.urgent, Some(at));
    }

    /// `at`, or as much later as the ceiling wants.
    pub(super) fn spaced(&self, at: Instant) -> Instant {
        self.asked.and_then(|asked| asked.checked_add(self.spacing)).map_or(at, |soonest| soonest.max(at))
    }
}

/// The earlier of two times, `None` being never.
pub(super) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, None) => one,
        (None, other) => other,
    }
}
