//! How long a request to one endpoint is expected to wait.

mod doubt;
mod fleet;
mod mean;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

pub(in crate::policy) use self::fleet::{Fleet, Moment};
use self::{
    doubt::Doubt,
    fleet::OUTLIER,
    mean::{Mean, WINDOW},
};

/// The estimate for one endpoint, in seconds, from requests whose start is known. Lock-free: two updates at the same
/// moment may lose one sample.
///
/// # The estimate
///
/// The estimate is the mean latency of about the last 20 requests, mixed with one sample of the fleet's mean. Samples
/// lose weight over 10 s, so an endpoint without recent requests approaches the fleet's mean: cold start, forgetting
/// and exploration follow from the same rule. While no request has been answered since the oldest one in flight
/// started, the estimate is at least 3 times the age of that request, up to 20 times the fleet's mean.
///
/// A successful answer that took more than 4 times the fleet's mean is in doubt until a later request shows that the
/// endpoint is slow. Meanwhile the estimate approaches the fleet's mean by half in 1.4 s, so that one pause does not
/// keep requests away for long.
///
/// A failed request counts as 50 times the fleet's mean, since an endpoint that fails fast would look quick. A dropped
/// request shows that its answer would have taken longer, and counts if it has taken longer than the estimate.
#[derive(Debug)]
pub(in crate::policy) struct Wait {
    /// The estimate at `tick`, an `f32`.
    estimate: AtomicU32,
    /// The [key](Fleet::key) of `estimate`; 0 means that it is out of date.
    tick: AtomicU32,
    /// The start of the oldest request that was sent after the last answer, plus 1 ns; 0 if no request was.
    first: AtomicU64,
    mean: Mean,
    /// Whether the last slow answer may have been a pause.
    doubt: Doubt,
    /// The earliest start, plus 1 ns, of the requests that were dropped at a moment that is not known yet; or 0.
    dropped: AtomicU64,
    /// Until when the endpoint asked clients to wait, in nanoseconds.
    pause: AtomicU64,
    fleet: Arc<Fleet>,
}

impl Wait {
    pub(in crate::policy) fn new(fleet: Arc<Fleet>) -> Self {
        Self {
            estimate: AtomicU32::new(0),
            tick: AtomicU32::new(0),
            first: AtomicU64::new(0),
            mean: Mean::default(),
            doubt: Doubt::default(),
            dropped: AtomicU64::new(0),
            pause: AtomicU64::new(0),
            fleet,
        }
    }

    /// Returns the expected wait of a request that finds no other one in flight, in seconds.
    #[inline]
    pub(in crate::policy) fn estimate(&self, now: Instant) -> f32 {
        self.estimate_at(&mut Moment::new(now))
    }

    /// As [`estimate`](Self::estimate), for several endpoints at one moment.
    #[inline]
    pub(in crate::policy) fn estimate_at<'a>(&'a self, moment: &mut Moment<'a>) -> f32 {
        if self.tick.load(Relaxed) != moment.key(&self.fleet) {
            self.update(moment.now());
        }
        f32::from_bits(self.estimate.load(Relaxed))
    }

    #[inline]
    pub(in crate::policy) fn started(&self, now: Instant) {
        if self.first.load(Relaxed) == 0 {
            self.first.store(self.fleet.nanos(now) + 1, Relaxed);
        }
    }

    /// The endpoint has shown a sign of life.
    #[inline]
    pub(in crate::policy) fn answered(&self) {
        if self.first.load(Relaxed) != 0 {
            self.first.store(0, Relaxed);
            self.tick.store(0, Relaxed);
        }
    }

    pub(in crate::policy) fn succeeded(&self, started: Instant, now: Instant) {
        let (latency, at) = (seconds(started, now), self.fleet.nanos(now));
        self.fleet.succeeded(latency, at);
        self.first.store(0, Relaxed);
        let mean = self.fleet.mean();
        let is_slow = latency > OUTLIER * mean;
        if is_slow {
            let is_usual = self.mean.shrunk(mean, tick(at)) <= USUAL * mean;
            self.doubt.slow(self.fleet.nanos(started), at, is_usual);
        } else if self.doubt.is_open() {
            self.mean.fade(mean, tick(at));
        }
        self.mean.add(latency.min(LONGEST * mean), tick(at), None);
        if !is_slow && !self.doubt.is_none() && self.mean.shrunk(mean, tick(at)) <= USUAL * mean {
            self.doubt.end();
        }
        self.renew(at);
    }

    /// `pause` is the `Retry-After` that the endpoint sent.
    #[cold]
    pub(in crate::policy) fn failed(&self, started: Instant, now: Instant, pause: Duration) {
        let at = self.fleet.nanos(now);
        self.first.store(0, Relaxed);
        self.doubt.confirm();
        let sample = seconds(started, now).max(FAILURE * self.fleet.mean());
        self.mean.add(sample, tick(at), Some(WINDOW));
        if !pause.is_zero() {
            self.pause.fetch_max(at.saturating_add(nanos(pause.min(PAUSE_MAX))), Relaxed);
        }
        self.renew(at);
    }

    /// The caller has dropped the request at `now`; without it, the time of the next event counts. `is_idle` says that
    /// no request is in flight any more.
    #[cold]
    pub(in crate::policy) fn dropped(&self, started: Instant, now: Option<Instant>, is_idle: bool) {
        let Some(now) = now else {
            let start = self.fleet.nanos(started) + 1;
            let _ = self.dropped.fetch_update(Relaxed, Relaxed, |old| (old == 0 || start < old).then_some(start));
            if is_idle {
                self.first.store(0, Relaxed);
            }
            self.tick.store(0, Relaxed);
            return;
        };
        let at = self.fleet.nanos(now);
        self.censored(seconds(started, now), at);
        if is_idle {
            self.first.store(0, Relaxed);
        }
        self.renew(at);
    }

    /// The answer would have taken longer than `waited` seconds.
    fn censored(&self, waited: f32, at: u64) {
        if waited > self.mean.shrunk(self.fleet.mean(), tick(at)) {
            self.doubt.confirm();
            self.mean.add(waited, tick(at), Some(WINDOW));
        }
    }

    #[cold]
    fn update(&self, now: Instant) {
        let at = self.fleet.nanos(now);
        if self.dropped.load(Relaxed) != 0 {
            let start = self.dropped.swap(0, Relaxed).saturating_sub(1);
            self.censored(at.saturating_sub(start) as f32 / 1e9, at);
        }
        self.renew(at);
    }

    fn renew(&self, at: u64) {
        let mean = self.fleet.mean();
        if self.doubt.is_open() {
            self.mean.fade(mean, tick(at));
        }
        let mut estimate = self.mean.shrunk(mean, tick(at));
        let first = self.first.load(Relaxed);
        if first != 0 {
            let age = at.saturating_sub(first) as f32 / 1e9;
            estimate = estimate.max((AGE * age).min(LONGEST * mean));
        }
        if at < self.pause.load(Relaxed) {
            estimate *= PAUSED;
        }
        self.estimate.store(estimate.to_bits(), Relaxed);
        self.tick.store(self.fleet.key(at), Relaxed);
    }
}

fn seconds(from: Instant, to: Instant) -> f32 {
    to.saturating_duration_since(from).as_secs_f32()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX - 1)
}

fn tick(nanos: u64) -> u32 {
    (nanos / TICK) as u32
}

/// Estimates are renewed once in 10 ms, and at each answer. Finer than the latency of most services, and so rare that
/// the work does not count.
const TICK: u64 = 10_000_000;
/// A successful request counts as at most so many times the fleet's mean: a long poll is not a slow endpoint.
const LONGEST: f32 = 20.0;
/// A failed request counts as at least so many times the fleet's mean. Relative, so that an endpoint that has recovered
/// comes back after about 40 s at any latency.
const FAILURE: f32 = 50.0;
/// An endpoint with an estimate of at most so many times the fleet's mean is as fast as the others.
const USUAL: f32 = 1.5;
/// How many times the age of the oldest request without an answer the estimate is at least.
const AGE: f32 = 3.0;
/// The factor of an endpoint that asked clients to wait: used only when all others are paused too.
const PAUSED: f32 = 1e6;
/// The longest `Retry-After` that is honored.
const PAUSE_MAX: Duration = Duration::from_secs(300);
