//! How many requests may be sent a second time.

use std::{
    sync::atomic::{
        AtomicU32, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
    time::{Duration, Instant},
};

/// Bounds what retries add to the load of endpoints that are in trouble already: to 20 % of the requests, and 10 a
/// second however few the requests are. What is not used stays good for 10 seconds, so that 100 may come at once.
///
/// These are the defaults of Finagle and linkerd. At three attempts each, an outage triples the load without a budget.
///
/// A request costs one atomic addition and reads no clock; only a retry needs the time. Hence the requests since the
/// last retry count as if they had come evenly.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use discovery_core::policy::RetryBudget;
///
/// let now = Instant::now();
/// let budget = RetryBudget::new(now);
/// (0..1_000).for_each(|_| budget.request());
/// let later = now + Duration::from_secs(1);
/// let granted = (0..1_000).filter(|_| budget.retry(later)).count();
/// assert_eq!(granted, 200 + 100);
/// ```
#[derive(Debug)]
pub struct RetryBudget {
    /// Since the last retry that was asked for.
    requests: AtomicU32,
    /// The balance as an `f32` in the low half, in requests; above it the time that it is from, in ticks since
    /// `epoch`.
    state: AtomicU64,
    epoch: Instant,
}

impl RetryBudget {
    /// A budget with its reserve, from `now` on.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { requests: AtomicU32::new(0), state: AtomicU64::new(pack(0, 0.0)), epoch: now }
    }

    /// Counts a request, not a retry.
    #[inline]
    pub fn request(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    /// Takes one retry from the budget; `false` when there is none left.
    pub fn retry(&self, now: Instant) -> bool {
        let now = self.ticks(now);
        let requests = self.requests.swap(0, Relaxed) as f32;
        let mut granted = false;
        let _ = self.state.fetch_update(AcqRel, Acquire, |state| {
            let (at, balance) = balance_at(now, state, requests);
            granted = balance - COST >= -RESERVE;
            Some(pack(at, if granted { balance - COST } else { balance }))
        });
        granted
    }

    /// Wraps after 497 days, of which only the difference of two counts.
    fn ticks(&self, now: Instant) -> u32 {
        (now.saturating_duration_since(self.epoch).as_millis() / TICK.as_millis()) as u32
    }
}

/// Requests come in, retries go out, and both are forgotten with time: as the sum over a window, without the window.
fn balance_at(now: u32, state: u64, requests: f32) -> (u32, f32) {
    let (then, balance) = ((state >> 32) as u32, f32::from_bits(state as u32));
    // Behind by a little when another thread was faster.
    let now = if now.wrapping_sub(then) > u32::MAX / 2 { then } else { now };
    let passed = now.wrapping_sub(then) as f32;
    let left = (1.0 - passed / WINDOW).max(0.0);
    let recent = requests * (WINDOW / passed.max(1.0)).min(1.0);
    (now, (balance * left + recent).min(BALANCE_MAX))
}

fn pack(ticks: u32, balance: f32) -> u64 {
    (u64::from(ticks) << 32) | u64::from(balance.to_bits())
}

const TICK: Duration = Duration::from_millis(10);

/// 10 s, in ticks.
const WINDOW: f32 = 1_000.0;

/// A retry for five requests.
const COST: f32 = 5.0;

/// 10 retries a second for the length of the window.
const RESERVE: f32 = 10.0 * 10.0 * COST;

/// Below this an `f32` counts one by one.
const BALANCE_MAX: f32 = 16_000_000.0;

#[cfg(test)]
mod tests {
    use super::{super::tests::epoch, *};

    fn millis(millis: u64) -> Instant {
        epoch() + Duration::from_millis(millis)
    }

    /// Every request fails and asks for two retries, so many requests a second for a minute; retries per second of
    /// the last half.
    fn retries(per_second: u64) -> f64 {
        let budget = RetryBudget::new(epoch());
        let mut granted = 0;
        for n in 0..per_second * 60 {
            budget.request();
            let now = millis(n * 1_000 / per_second);
            let here = (0..2).filter(|_| budget.retry(now)).count();
            granted += if n >= per_second * 30 { here } else { 0 };
        }
        granted as f64 / 30.0
    }

    #[test]
    fn an_outage_adds_a_fifth_and_ten_a_second() {
        for (per_second, expected) in [(5, 10.0), (10, 12.0), (100, 30.0), (1_000, 210.0), (20_000, 4_010.0)] {
            let seen = retries(per_second);
            assert!((seen - expected).abs() <= expected * 0.02, "{per_second}/s: {seen} retries/s, not {expected}");
        }
    }

    fn granted(budget: &RetryBudget, now: Instant) -> usize {
        (0..1_000_000).take_while(|_| budget.retry(now)).count()
    }

    #[test]
    fn the_reserve_is_there_at_once_and_comes_back_within_the_window() {
        let budget = RetryBudget::new(epoch());
        assert_eq!(granted(&budget, millis(0)), 100);
        assert_eq!(granted(&budget, millis(0)), 0);
        assert_eq!(granted(&budget, millis(1_000)), 10);
        assert_eq!(granted(&budget, millis(11_000)), 100);
    }

    /// An hour of a thousand requests a second does not pay for an hour's retries.
    #[test]
    fn old_requests_do_not_count() {
        let budget = RetryBudget::new(epoch());
        (0..3_600_000).for_each(|_| budget.request());
        assert_eq!(granted(&budget, millis(3_600_000)), 2_000 + 100, "those of ten seconds");
        assert_eq!(granted(&budget, millis(3_620_000)), 100);
    }

    #[test]
    fn time_that_goes_back_gives_nothing() {
        let budget = RetryBudget::new(epoch());
        assert_eq!(granted(&budget, millis(5_000)), 100);
        assert_eq!(granted(&budget, millis(4_000)), 0);
        assert_eq!(granted(&budget, epoch() - Duration::from_millis(1)), 0);
        assert_eq!(granted(&budget, millis(5_000)), 0);
    }
}
