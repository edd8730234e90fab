//! The time of the next query.

use std::{
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use super::RefreshSettings;

/// The minimum time between two queries for one target, except after a failure or a change: at most one query per
/// second and name (`docs/failure-modes.md`, F4, F5, F9). A shorter `min_refresh` lowers it, for tests and local
/// sources.
const SPACING: Duration = Duration::from_secs(1);

/// The minimum time between two queries caused by changes that the source reports.
///
/// A source that pushes changes answers within 100 ms. In a rollout of 1000 pods, each change rebuilds the set in 2 ms;
/// one rebuild every 20 ms costs a tenth of a core.
const CHANGE_SPACING: Duration = Duration::from_millis(20);

/// The fraction of the TTL after which an answer is refreshed: before it expires, and spread over more than a tenth of
/// the refresh interval (`docs/failure-modes.md`, F4, F14).
const REFRESH_FRACTION: RangeInclusive<f64> = 0.80..=0.90;

/// The same for an answer that ends a time without answers: the first one of a target, or the first one after a failure or
/// a negative answer. Such answers come to many targets at the same time, when a program starts or a server returns. If
/// their refreshes shared the narrow range above, all of them would be sent within a tenth of the TTL. Over the wide
/// range they come at the mean rate of all later ones (`docs/failure-modes.md`, F14).
const FIRST_REFRESH_FRACTION: RangeInclusive<f64> = 0.10..=0.90;

/// The jitter of a backoff. It only shortens the wait, so that the maximum is never exceeded (`docs/failure-modes.md`,
/// F5, F6: "up to 5 s").
const BACKOFF_FRACTION: RangeInclusive<f64> = 0.80..=1.00;

/// The jitter above a floor that leaves no room below: up to this fraction of the floor is added.
///
/// 1000 watchers must spread over a tenth of their interval (`docs/failure-modes.md`, F4). A sample of 1000 does not
/// reach both ends of its range, hence the margin.
const ABOVE_FLOOR: f64 = 0.15;

/// When the last query began, and when the next one is due.
///
/// A time of `None` means never: it is later than the clock can express, or no query is needed.
#[derive(Debug)]
pub(super) struct Schedule {
    spacing: Duration,
    last_query: Option<Instant>,
    in_flight: bool,
    /// When the last answer calls for the next query.
    due: Option<Instant>,
    /// When events since the last query began call for the next one. The answer to that query does not clear it.
    urgent: Option<Instant>,
    failures: Backoff,
    negatives: Backoff,
    /// Whether the last answer had endpoints, so that the time of the last query differs from that of other targets.
    is_steady: bool,
}

/// A source of uniform numbers in `[0, 1)`.
type Jitter<'a> = &'a mut dyn FnMut() -> f64;

impl Schedule {
    /// Returns a schedule whose first query is due at once.
    pub(super) fn new(settings: &RefreshSettings, now: Instant) -> Self {
        Self {
            spacing: settings.min_refresh().min(SPACING),
            last_query: None,
            in_flight: false,
            due: Some(now),
            urgent: None,
            failures: Backoff::default(),
            negatives: Backoff::default(),
            is_steady: false,
        }
    }

    /// Whether events since the last query began call for the next one.
    #[cfg(feature = "resolver")]
    pub(super) fn is_urgent(&self) -> bool {
        self.urgent.is_some()
    }

    pub(super) fn next(&self) -> Option<Instant> {
        earlier(self.due, self.urgent)
    }

    /// Whether the last query began at least `wait` after `time`.
    pub(super) fn queried_after(&self, time: Instant, wait: Duration) -> bool {
        self.last_query.is_some_and(|began| began.saturating_duration_since(time) >= wait)
    }

    /// Records that a query begins. If its answer is never reported, the next query is due after the minimum spacing.
    pub(super) fn on_query(&mut self, now: Instant) {
        self.last_query = Some(now);
        self.in_flight = true;
        self.urgent = None;
        self.due = now.checked_add(self.spacing);
    }

    /// Records that an answer arrived. Without a query in flight, the answer counts as queried just now.
    pub(super) fn on_answer(&mut self, now: Instant) {
        if !self.in_flight {
            self.on_query(now);
        }
        self.in_flight = false;
    }

    /// Schedules the refresh of a positive answer: before its TTL expires, and no later than `removal` if a missing
    /// endpoint waits for a second answer.
    pub(super) fn after_endpoints(
        &mut self,
        ttl: Option<Duration>,
        removal: Option<Instant>,
        settings: &RefreshSettings,
        now: Instant,
        jitter: Jitter<'_>,
    ) {
        self.failures.reset();
        self.negatives.reset();
        let (min, max) = (settings.min_refresh(), settings.max_refresh());
        let is_steady = std::mem::replace(&mut self.is_steady, true);
        let mut wait = |ttl: Duration| match ttl.clamp(min, max) {
            ttl if is_steady => spread(ttl, &REFRESH_FRACTION, min, jitter),
            ttl => spread_first(ttl, min, jitter),
        };
        let refresh = ttl.and_then(|ttl| now.checked_add(wait(ttl)));
        self.due = earlier(refresh, removal.map(|at| self.spaced(at.max(now))));
    }

    /// Schedules the query that may confirm the negative answer that arrived `first`.
    pub(super) fn after_unconfirmed(&mut self, first: Instant, settings: &RefreshSettings, now: Instant) {
        self.failures.reset();
        let left = settings.confirm_after().saturating_sub(now.saturating_duration_since(first));
        let at = now.checked_add(left.min(settings.max_refresh()));
        self.due = at.map(|at| self.spaced(at));
    }

    /// Schedules the query after an accepted negative answer: sooner while a caller is `waiting`.
    pub(super) fn after_negative(
        &mut self,
        ttl: Option<Duration>,
        waiting: bool,
        settings: &RefreshSettings,
        now: Instant,
        jitter: Jitter<'_>,
    ) {
        self.failures.reset();
        self.is_steady = false;
        let max = settings.negative_max();
        let backoff = self.negatives.next(self.spacing, max);
        let cap = if waiting { settings.negative_max_waiting() } else { backoff };
        let wait = ttl.unwrap_or(max).min(cap);
        self.due = now.checked_add(spread(wait, &BACKOFF_FRACTION, self.spacing, jitter));
    }

    /// Schedules the retry after a failure.
    pub(super) fn after_failure(&mut self, settings: &RefreshSettings, now: Instant, jitter: Jitter<'_>) {
        self.is_steady = false;
        let backoff = self.failures.next(settings.backoff_initial(), settings.backoff_max());
        self.due = now.checked_add(spread(backoff, &BACKOFF_FRACTION, Duration::ZERO, jitter));
    }

    /// Moves the next query forward to `wait` after the last one began, as far as the spacing allows. The next answer
    /// overrides it.
    pub(super) fn hasten(&mut self, wait: Duration, now: Instant) {
        if let Some(at) = self.last_query.and_then(|began| began.checked_add(wait)) {
            self.due = earlier(self.due, Some(self.spaced(at.max(now))));
        }
    }

    /// Requests a query at the pace of connect errors.
    pub(super) fn on_request(&mut self, settings: &RefreshSettings, now: Instant) {
        self.demand(settings.failure_refresh_min().max(self.spacing), now);
    }

    /// Requests a query because the source reported a change.
    pub(super) fn on_change(&mut self, now: Instant) {
        self.demand(CHANGE_SPACING.min(self.spacing), now);
    }

    /// Requests a query because another task queries from now on, on a clock that reads `now`. It is due at once if only
    /// a change would have brought the next one.
    pub(super) fn on_takeover(&mut self, now: Instant) {
        self.last_query = self.last_query.map(|at| at.min(now));
        let gap = if self.next().is_some() { self.spacing } else { Duration::ZERO };
        self.demand(gap, now);
    }

    /// Requests a query `gap` after the last one began, but not before `now`. An answer already on its way does not
    /// satisfy the request.
    fn demand(&mut self, gap: Duration, now: Instant) {
        let at = self.last_query.and_then(|began| began.checked_add(gap)).map_or(now, |at| at.max(now));
        self.urgent = earlier(self.urgent, Some(at));
    }

    /// Returns `at`, or the end of the minimum spacing if that is later.
    fn spaced(&self, at: Instant) -> Instant {
        self.last_query.and_then(|began| began.checked_add(self.spacing)).map_or(at, |soonest| soonest.max(at))
    }
}

/// Counts consecutive attempts of one kind; each waits twice as long as the one before.
#[derive(Debug, Default)]
struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// Counts an attempt and returns the wait after it: `initial`, doubled with each attempt, up to `max`.
    fn next(&mut self, initial: Duration, max: Duration) -> Duration {
        let factor = 1_u32.checked_shl(self.attempts).unwrap_or(u32::MAX);
        self.attempts = self.attempts.saturating_add(1);
        initial.saturating_mul(factor).min(max)
    }

    fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// Returns a random `fraction` of `wait`. If the result could be less than `floor`, returns slightly more than the
/// floor instead.
///
/// Rounding never leads below the floor or, without one, above `wait`.
fn spread(wait: Duration, fraction: &RangeInclusive<f64>, floor: Duration, jitter: Jitter<'_>) -> Duration {
    let roll = jitter();
    let roll = if roll.is_finite() { roll.clamp(0.0, 1.0) } else { 0.0 };
    if scaled(wait, *fraction.start()) < floor {
        scaled(floor, 1.0 + ABOVE_FLOOR * roll).max(floor)
    } else {
        scaled(wait, fraction.start() + (fraction.end() - fraction.start()) * roll).min(wait)
    }
}

/// Returns a random time until the first refresh of an answer: over as much of the TTL as `floor` leaves.
fn spread_first(ttl: Duration, floor: Duration, jitter: Jitter<'_>) -> Duration {
    let latest = scaled(ttl, *FIRST_REFRESH_FRACTION.end());
    if scaled(ttl, *REFRESH_FRACTION.start()) < floor {
        // With so short a TTL, the floor leaves no room for a spread.
        return spread(ttl, &REFRESH_FRACTION, floor, jitter);
    }
    let earliest = scaled(ttl, *FIRST_REFRESH_FRACTION.start()).max(floor);
    let room = latest.saturating_sub(earliest);
    earliest.saturating_add(spread(room, &(0.0..=1.0), Duration::ZERO, jitter))
}

/// Multiplies and saturates at the maximum, where `Duration::mul_f64` panics.
fn scaled(wait: Duration, by: f64) -> Duration {
    Duration::try_from_secs_f64(wait.as_secs_f64() * by).unwrap_or(Duration::MAX)
}

/// Returns the earlier of two times, where `None` is never.
fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, None) => one,
        (None, other) => other,
    }
}
