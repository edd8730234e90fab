//! The retry budget.

use std::{
    sync::atomic::{
        AtomicU32, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
    time::{Duration, Instant},
};

/// Bounds the load that retries add: 20 % of the requests, and 10 a second however few requests there are. An unused
/// allowance is kept for 10 seconds, so up to 100 retries can come at once.
///
/// # Why a budget, and not only a maximum number of attempts?
///
/// With three attempts for each request, an outage triples the load on endpoints that are in trouble already. A budget
/// limits the retries of all requests together. The figures are the defaults of Finagle and linkerd.
///
/// # Cost
///
/// A request costs one atomic addition and reads no clock. Only a retry needs the time, so the requests since the last
/// retry count as if they were spread evenly over that time.
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
    /// The requests since the last call of [`retry`](Self::retry).
    requests: AtomicU32,
    /// The balance in requests, as an `f32` in the low half; in the high half the time of that balance, in ticks since
    /// `epoch`.
    state: AtomicU64,
    epoch: Instant,
}

impl RetryBudget {
    /// Creates a budget with its full reserve.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { requests: AtomicU32::new(0), state: AtomicU64::new(pack(0, 0.0)), epoch: now }
    }

    /// Counts a request, not a retry.
    #[inline]
    pub fn request(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    /// Takes one retry from the budget. Returns `false` if the budget is exhausted.
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

    /// Wraps after 497 days. Only the difference of two ticks is used.
    fn ticks(&self, now: Instant) -> u32 {
        (now.saturating_duration_since(self.epoch).as_millis() / TICK.as_millis()) as u32
    }
}

/// The balance at `now`: requests add to it, retries subtract, and both fade with time, as in a sum over a sliding window.
fn balance_at(now: u32, state: u64, requests: f32) -> (u32, f32) {
    let (then, balance) = ((state >> 32) as u32, f32::from_bits(state as u32));
    // `now` is a little behind if another thread was faster.
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

/// One retry costs five requests.
const COST: f32 = 5.0;

/// 10 retries a second over the length of the window.
const RESERVE: f32 = 10.0 * 10.0 * COST;

/// Up to this value an `f32` counts in steps of one.
const BALANCE_MAX: f32 = 16_000_000.0;

#[cfg(test)]
mod tests {
    use super::{super::tests::epoch, *};

    fn millis(millis: u64) -> Instant {
        epoch() + Duration::from_millis(millis)
    }

    /// The retries per second in the second half of a minute in which every request fails and wants two retries.
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
    fn an_outage_adds_20_percent_and_10_a_second() {
        for (per_second, expected) in [(5, 10.0), (10, 12.0), (100, 30.0), (1_000, 210.0), (20_000, 4_010.0)] {
            let seen = retries(per_second);
            assert!((seen - expected).abs() <= expected * 0.02, "{per_second}/s: {seen} retries/s, not {expected}");
        }
    }

    fn granted(budget: &RetryBudget, now: Instant) -> usize {
        (0..1_000_000).take_while(|_| budget.retry(now)).count()
    }

    #[test]
    fn the_reserve_is_available_at_once_and_refills_within_the_window() {
        let budget = RetryBudget::new(epoch());
        assert_eq!(granted(&budget, millis(0)), 100);
        assert_eq!(granted(&budget, millis(0)), 0);
        assert_eq!(granted(&budget, millis(1_000)), 10);
        assert_eq!(granted(&budget, millis(11_000)), 100);
    }

    /// An hour of 1000 requests a second pays for the retries of ten seconds only.
    #[test]
    fn old_requests_do_not_count() {
        let budget = RetryBudget::new(epoch());
        (0..3_600_000).for_each(|_| budget.request());
        assert_eq!(granted(&budget, millis(3_600_000)), 2_000 + 100, "the requests of ten seconds");
        assert_eq!(granted(&budget, millis(3_620_000)), 100);
    }

    #[test]
    fn a_clock_that_goes_back_grants_nothing() {
        let budget = RetryBudget::new(epoch());
        assert_eq!(granted(&budget, millis(5_000)), 100);
        assert_eq!(granted(&budget, millis(4_000)), 0);
        assert_eq!(granted(&budget, epoch() - Duration::from_millis(1)), 0);
        assert_eq!(granted(&budget, millis(5_000)), 0);
    }
}
