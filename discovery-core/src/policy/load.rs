//! The statistics of one endpoint.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::{
    Clock, Reachability,
    reach::Reach,
    wait::{Fleet, Wait},
};

/// The statistics of one endpoint, from the requests sent to it. They last, across updates, as long as the endpoint's
/// identity is in the set. Lock-free.
///
/// # Why does a failure count as load?
///
/// An endpoint that fails fast always looks idle, so a policy that goes by load sends it *more* requests. Each failure
/// therefore counts as one more request in flight, the [penalty](Load::penalty), until 5 seconds after the last
/// failure. In those 5 seconds an endpoint that always fails gets, however fast it fails, as many requests as a good
/// one has in flight at any moment. Afterwards it is tried again.
///
/// A success removes half of the penalty, rounded up. A single failure is forgotten with the next success and a long
/// outage after a few, while an endpoint that fails every second request keeps a penalty.
#[derive(Debug)]
pub struct Load {
    in_flight: AtomicU32,
    /// How often the endpoint has answered; wraps around.
    answers: AtomicU32,
    /// The most requests that were in flight at once.
    peak: AtomicU32,
    /// The outcome of the last request: [`NEWS`], [`WORKS`] or both.
    outcome: AtomicU8,
    /// The failure count in the high [`COUNT_BITS`] bits, the time it expires below, in milliseconds since `epoch`. 0
    /// means without a penalty.
    penalty: AtomicU64,
    reach: Reach,
    epoch: Instant,
    /// What requests whose start is known have shown about latency.
    wait: Wait,
}

impl Load {
    /// Creates an empty load. `epoch` is any moment before the first failure, such as the start of the process.
    #[must_use]
    pub fn new(epoch: Instant) -> Self {
        Self::in_fleet(Arc::new(Fleet::new(epoch)))
    }

    /// Creates an empty load that shares its mean latency with the others of `fleet`.
    pub(super) fn in_fleet(fleet: Arc<Fleet>) -> Self {
        Self {
            in_flight: AtomicU32::new(0),
            answers: AtomicU32::new(0),
            peak: AtomicU32::new(0),
            outcome: AtomicU8::new(0),
            penalty: AtomicU64::new(0),
            reach: Reach::default(),
            epoch: fleet.epoch(),
            wait: Wait::new(fleet),
        }
    }

    /// Returns how long a request is expected to wait that finds no other one in flight, in seconds. It is the mean
    /// latency of the recent requests, which failed, dropped and overdue requests raise. Only requests count that
    /// [`LeastExpectedWait`](super::LeastExpectedWait), or another policy that reads the time of the pick, has picked.
    #[must_use]
    #[inline]
    pub fn expected_wait(&self, now: Instant) -> f32 {
        self.wait.estimate(now)
    }

    pub(super) fn wait(&self) -> &Wait {
        &self.wait
    }

    /// Returns the number of requests in flight.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Returns how often the endpoint has answered, as far as clients report it to
    /// [`Pick::answered`](super::Pick::answered). Wraps around: two values show only whether there was an answer between
    /// them.
    #[must_use]
    pub fn answers(&self) -> u32 {
        self.answers.load(Relaxed)
    }

    /// Returns the most requests that were in flight at once: about as many connections are open over HTTP/1.1.
    #[must_use]
    pub fn peak(&self) -> u32 {
        self.peak.load(Relaxed)
    }

    /// Returns whether the last request that ended with an outcome succeeded.
    #[must_use]
    pub fn works(&self) -> bool {
        self.outcome.load(Relaxed) & WORKS != 0
    }

    /// Returns whether the last request succeeded, if one has ended since the last call. For one caller, which keeps the
    /// endpoint's history.
    #[cfg(any(test, feature = "resolver"))]
    pub(crate) fn take_outcome(&self) -> Option<bool> {
        let outcome = self.outcome.fetch_and(!NEWS, Relaxed);
        (outcome & NEWS != 0).then_some(outcome & WORKS != 0)
    }

    /// Returns what is known about connections to the endpoint.
    #[must_use]
    pub fn reachability(&self) -> Reachability {
        self.reach.get()
    }

    /// Reports that a connection to the endpoint was established, for a request or for a probe. The endpoint becomes
    /// reachable, and its penalty ends.
    pub fn connected(&self) {
        if self.is_unreachable() {
            self.penalty.store(0, Relaxed);
        }
        self.reach.connected();
    }

    /// Returns the number of failures that count as requests in flight. Reads the clock only if there are some.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "a moment or a function, as it stands at the call")]
    pub fn penalty(&self, clock: impl Clock) -> u32 {
        match self.penalty.load(Relaxed) {
            0 => 0,
            packed => Penalty::unpack(packed).at(self.millis(clock.now())).count,
        }
    }

    /// Returns the requests in flight plus the penalty, the value that policies compare.
    #[must_use]
    pub fn value(&self, clock: impl Clock) -> u64 {
        u64::from(self.in_flight()) + u64::from(self.penalty(clock))
    }

    #[inline]
    pub(super) fn started(&self) {
        let in_flight = self.in_flight.fetch_add(1, Relaxed).wrapping_add(1);
        if in_flight > self.peak.load(Relaxed) {
            self.peak.fetch_max(in_flight, Relaxed);
        }
    }

    #[inline]
    pub(super) fn ended(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    #[inline]
    pub(super) fn answered(&self) {
        self.answers.fetch_add(1, Relaxed);
        self.wait.answered();
    }

    #[inline]
    pub(super) fn is_unreachable(&self) -> bool {
        self.reach.is_unreachable()
    }

    /// Whether a request may find out whether the endpoint is reachable again.
    pub(super) fn may_try(&self, now: Instant) -> bool {
        self.reach.may_try(self.millis(now))
    }

    pub(super) fn unreachable(&self, now: Instant) {
        self.reach.failed(self.millis(now));
    }

    /// Forgets what is known about connections, for an endpoint that has moved.
    pub(super) fn moved(&self) {
        self.reach.forget();
    }

    /// Returns a guard for a probe in the background; `None` if there is one already.
    #[cfg(feature = "resolver")]
    pub(crate) fn begin_probing(self: &Arc<Self>, now: Instant) -> Option<Probing> {
        self.reach.begin_probing(self.millis(now)).then(|| Probing(self.clone()))
    }

    #[inline]
    pub(super) fn succeeded(&self, clock: &impl Clock) {
        self.reach.connected();
        // The usual case writes nothing and does not need the time.
        if self.outcome.load(Relaxed) != NEWS | WORKS {
            self.outcome.store(NEWS | WORKS, Relaxed);
        }
        if self.penalty.load(Relaxed) != 0 {
            self.punish(clock.now(), Penalty::halved);
        }
    }

    /// `pause` is the `Retry-After` that the endpoint sent.
    pub(super) fn failed(&self, now: Instant, pause: Duration) {
        self.outcome.store(NEWS, Relaxed);
        let until = self.millis(now) + millis(pause.clamp(PENALTY, PENALTY_MAX));
        self.punish(now, |penalty| penalty.raised(until));
    }

    #[cold]
    fn punish(&self, now: Instant, change: impl Fn(Penalty) -> Penalty) {
        let now = self.millis(now);
        let _ =
            self.penalty.fetch_update(Relaxed, Relaxed, |packed| Some(change(Penalty::unpack(packed).at(now)).pack()));
    }

    fn millis(&self, now: Instant) -> u64 {
        millis(now.saturating_duration_since(self.epoch))
    }
}

/// While it lives, a probe in the background decides when the endpoint is reachable again, and no request does.
#[cfg(feature = "resolver")]
#[derive(Debug)]
pub(crate) struct Probing(Arc<Load>);

#[cfg(feature = "resolver")]
impl Probing {
    /// The load of the endpoint.
    pub(crate) fn load(&self) -> &Load {
        &self.0
    }

    /// The probe is still under way at `now`. Without this for a minute, requests find out again.
    pub(crate) fn go_on(&self, now: Instant) {
        self.0.reach.go_on_probing(self.0.millis(now));
    }
}

#[cfg(feature = "resolver")]
impl Drop for Probing {
    fn drop(&mut self) {
        self.0.reach.end_probing();
    }
}

#[derive(Clone, Copy)]
struct Penalty {
    count: u32,
    until: u64,
}

impl Penalty {
    const NONE: Self = Self { count: 0, until: 0 };

    fn unpack(packed: u64) -> Self {
        Self { count: (packed >> UNTIL_BITS) as u32, until: packed & UNTIL_MAX }
    }

    fn pack(self) -> u64 {
        (u64::from(self.count) << UNTIL_BITS) | self.until.min(UNTIL_MAX)
    }

    fn at(self, now: u64) -> Self {
        if now < self.until { self } else { Self::NONE }
    }

    fn raised(self, until: u64) -> Self {
        Self { count: (self.count + 1).min(COUNT_MAX), until: self.until.max(until) }
    }

    fn halved(self) -> Self {
        if self.count > 1 { Self { count: self.count / 2, ..self } } else { Self::NONE }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).min(UNTIL_MAX)
}

/// How long a failed request counts as in flight: longer than a good response takes, and short enough that a pod that
/// has recovered gets requests again soon.
const PENALTY: Duration = Duration::from_secs(5);

/// The longest `Retry-After` that is honored: one wrong response must not take an endpoint out for good.
const PENALTY_MAX: Duration = Duration::from_secs(300);

/// A request has ended since [`Load::take_outcome`].
const NEWS: u8 = 1;
/// The last request succeeded.
const WORKS: u8 = 2;

const COUNT_BITS: u32 = 24;
const COUNT_MAX: u32 = (1 << COUNT_BITS) - 1;
/// 34 years of milliseconds.
const UNTIL_BITS: u32 = u64::BITS - COUNT_BITS;
const UNTIL_MAX: u64 = (1 << UNTIL_BITS) - 1;

#[cfg(test)]
mod tests;
