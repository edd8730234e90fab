//! How long a request to one endpoint is expected to wait.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
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
/// A failed request counts as 50 times the fleet's mean, since an endpoint that fails fast would look quick. A dropped
/// request shows that its answer would have taken longer, and counts if it has taken longer than the estimate.
#[derive(Debug)]
pub(super) struct Wait {
    /// The estimate at `tick`, an `f32`.
    estimate: AtomicU32,
    /// The [key](Fleet::key) of `estimate`; 0 means that it is out of date.
    tick: AtomicU32,
    /// The start of the oldest request that was sent after the last answer, plus 1 ns; 0 means that there is none.
    first: AtomicU64,
    mean: Mean,
    /// The earliest start, plus 1 ns, of the requests that were dropped at a moment that is not known yet; or 0.
    dropped: AtomicU64,
    /// Until when the endpoint asked clients to wait, in nanoseconds.
    pause: AtomicU64,
    fleet: Arc<Fleet>,
}

impl Wait {
    pub(super) fn new(fleet: Arc<Fleet>) -> Self {
        Self {
            estimate: AtomicU32::new(0),
            tick: AtomicU32::new(0),
            first: AtomicU64::new(0),
            mean: Mean::default(),
            dropped: AtomicU64::new(0),
            pause: AtomicU64::new(0),
            fleet,
        }
    }

    /// Returns the expected wait of a request that finds no other one in flight, in seconds.
    #[inline]
    pub(super) fn estimate(&self, now: Instant) -> f32 {
        if self.tick.load(Relaxed) != self.fleet.key(self.fleet.nanos(now)) {
            self.update(now);
        }
        f32::from_bits(self.estimate.load(Relaxed))
    }

    #[inline]
    pub(super) fn started(&self, now: Instant) {
        if self.first.load(Relaxed) == 0 {
            self.first.store(self.fleet.nanos(now) + 1, Relaxed);
        }
    }

    /// The endpoint has shown a sign of life.
    #[inline]
    pub(super) fn answered(&self) {
        if self.first.load(Relaxed) != 0 {
            self.first.store(0, Relaxed);
            self.tick.store(0, Relaxed);
        }
    }

    pub(super) fn succeeded(&self, started: Instant, now: Instant) {
        let (latency, at) = (seconds(started, now), self.fleet.nanos(now));
        self.fleet.succeeded(latency, at);
        self.first.store(0, Relaxed);
        self.mean.add(latency.min(LONGEST * self.fleet.mean()), tick(at), None);
        self.renew(at);
    }

    /// `pause` is the `Retry-After` that the endpoint sent.
    #[cold]
    pub(super) fn failed(&self, started: Instant, now: Instant, pause: Duration) {
        let at = self.fleet.nanos(now);
        self.first.store(0, Relaxed);
        let sample = seconds(started, now).max(FAILURE * self.fleet.mean());
        self.mean.add(sample, tick(at), Some(WINDOW));
        if !pause.is_zero() {
            self.pause.fetch_max(at.saturating_add(nanos(pause.min(PAUSE_MAX))), Relaxed);
        }
        self.renew(at);
    }

    /// The caller has dropped the request at `now`; without it, the time of the next event counts. `is_idle` says that no
    /// request is in flight any more.
    #[cold]
    pub(super) fn dropped(&self, started: Instant, now: Option<Instant>, is_idle: bool) {
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

/// What the endpoints of one client have in common: the mean latency of successful requests.
#[derive(Debug)]
pub(super) struct Fleet {
    epoch: Instant,
    mean: Mean,
}

impl Fleet {
    pub(super) fn new(epoch: Instant) -> Self {
        Self { epoch, mean: Mean::default() }
    }

    pub(super) fn epoch(&self) -> Instant {
        self.epoch
    }

    fn nanos(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.epoch))
    }

    /// What an estimate at `at` depends on beside its endpoint: the tick, and whether the mean is known. Never 0.
    #[inline]
    fn key(&self, at: u64) -> u32 {
        let is_known = self.mean.packed.load(Relaxed) != 0;
        (tick(at) << 2) | (u32::from(is_known) << 1) | 1
    }

    /// The mean in seconds.
    fn mean(&self) -> f32 {
        let (mean, weight) = self.mean.load();
        if weight > 0.0 { mean } else { UNKNOWN }
    }

    fn succeeded(&self, latency: f32, at: u64) {
        let (mean, weight) = self.mean.load();
        let sample = if weight > 0.0 { latency.min(OUTLIER * mean) } else { latency };
        self.mean.add(sample.max(SHORTEST), tick(at), None);
    }
}

/// A mean of samples and their weight, which decays over 10 s.
#[derive(Debug, Default)]
struct Mean {
    /// The mean in the high half, the weight in the low half, both `f32`.
    packed: AtomicU64,
    /// The tick of the last sample.
    stamp: AtomicU32,
}

impl Mean {
    fn load(&self) -> (f32, f32) {
        let packed = self.packed.load(Relaxed);
        (f32::from_bits((packed >> 32) as u32), f32::from_bits(packed as u32))
    }

    /// The mean, mixed with one sample of `prior`.
    fn shrunk(&self, prior: f32, tick: u32) -> f32 {
        let (mean, weight) = self.load();
        let weight = weight * decay(TEN_SECONDS, tick.saturating_sub(self.stamp.load(Relaxed)));
        (mean * weight + prior) / (weight + 1.0)
    }

    /// Adds a sample. Earlier samples weigh at most `most` together; a weight above [`WINDOW`] decays faster.
    fn add(&self, sample: f32, tick: u32, most: Option<f32>) {
        let (mean, mut weight) = self.load();
        let ticks = tick.saturating_sub(self.stamp.load(Relaxed));
        if ticks > 0 {
            weight *= decay(TEN_SECONDS, ticks);
            if weight > WINDOW {
                weight = (weight * decay(ONE_SECOND, ticks)).max(WINDOW);
            }
            self.stamp.store(tick, Relaxed);
        }
        weight = most.map_or(weight, |most| weight.min(most)) + 1.0;
        let mean = mean + (sample - mean) / weight;
        self.packed.store((u64::from(mean.to_bits()) << 32) | u64::from(weight.to_bits()), Relaxed);
    }
}

/// The factor `e^(-ticks / time constant)`; `per_tick` is the factor of one tick.
fn decay(per_tick: f32, ticks: u32) -> f32 {
    if ticks == 0 { 1.0 } else { per_tick.powi(ticks.min(10_000) as i32) }
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

/// Estimates are renewed once in 10 ms, and at each answer. Finer than the latency of most services, and so rare that the
/// work does not count.
const TICK: u64 = 10_000_000;
/// `e^(-10 ms / 10 s)`.
const TEN_SECONDS: f32 = 0.999_000_5;
/// `e^(-10 ms / 1 s)`.
const ONE_SECOND: f32 = 0.990_049_8;

/// The weight of earlier samples beside a new one: with 20 samples, one pause does not poison an endpoint.
const WINDOW: f32 = 19.0;
/// A successful request counts as at most so many times the fleet's mean: a long poll is not a slow endpoint.
const LONGEST: f32 = 20.0;
/// A failed request counts as at least so many times the fleet's mean. Relative, so that an endpoint that has recovered
/// comes back after about 40 s at any latency.
const FAILURE: f32 = 50.0;
/// How many times the age of the oldest request without an answer the estimate is at least.
const AGE: f32 = 3.0;
/// A sample of the fleet's mean counts as at most so many times the mean.
const OUTLIER: f32 = 4.0;
/// The factor of an endpoint that asked clients to wait: used only when all others are paused too.
const PAUSED: f32 = 1e6;
/// The longest `Retry-After` that is honored.
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// The fleet's mean before the first success, in seconds.
const UNKNOWN: f32 = 0.03;
/// The least sample of the fleet's mean, in seconds: a mean of 0 would make all estimates 0, failures included.
const SHORTEST: f32 = 1e-6;
