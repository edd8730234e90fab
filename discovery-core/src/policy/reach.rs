//! Whether connections to an endpoint can be established.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// What is known about connections to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reachability {
    /// No request has ended, and no connection was established yet.
    Unknown,
    /// The last connection could be established, or the last request was answered.
    Connected,
    /// The last connection could not be established. The endpoint gets no request while another one is usable, unless
    /// fewer than half of its priority are.
    Unreachable,
}

/// The reachability of one endpoint, as one atomic word. Lock-free.
///
/// An endpoint that is probed in the background comes back with the first probe that connects. Without a probe, one
/// request in each back-off period is the trial.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// The kind in the highest 2 bits, the count of failed periods, and below them the end of the back-off in
    /// milliseconds since the load's epoch.
    word: AtomicU64,
    /// Until when a probe in the background decides, in milliseconds since the load's epoch; 0 without a probe.
    probed_until: AtomicU64,
}

impl Reach {
    pub(super) fn get(&self) -> Reachability {
        match self.word.load(Relaxed) >> KIND_SHIFT {
            CONNECTED => Reachability::Connected,
            UNREACHABLE => Reachability::Unreachable,
            _ => Reachability::Unknown,
        }
    }

    #[inline]
    pub(super) fn is_unreachable(&self) -> bool {
        self.word.load(Relaxed) >> KIND_SHIFT == UNREACHABLE
    }

    /// A connection was established. The usual case writes nothing.
    #[inline]
    pub(super) fn connected(&self) {
        if self.word.load(Relaxed) != CONNECTED << KIND_SHIFT {
            self.word.store(CONNECTED << KIND_SHIFT, Relaxed);
        }
    }

    /// Nothing is known any more: the endpoint has moved to other addresses.
    pub(super) fn forget(&self) {
        self.word.store(0, Relaxed);
    }

    /// A connection could not be established at `now`, in milliseconds. Of failures in one back-off period the first
    /// counts: the requests that were under way together fail together.
    pub(super) fn failed(&self, now: u64) {
        let _ = self.word.fetch_update(Relaxed, Relaxed, |word| {
            let period = Period::unpack(word);
            (word >> KIND_SHIFT != UNREACHABLE || now >= period.until).then(|| period.next(now))
        });
    }

    /// Whether a request at `now` may find out whether the endpoint is reachable again: one in each back-off period,
    /// and none while the endpoint is probed in the background.
    pub(super) fn may_try(&self, now: u64) -> bool {
        if now < self.probed_until.load(Relaxed) {
            return false;
        }
        let word = self.word.load(Relaxed);
        let period = Period::unpack(word);
        now >= period.until && self.word.compare_exchange(word, period.next(now), Relaxed, Relaxed).is_ok()
    }

    /// Returns `false` if the endpoint is probed already. The probe decides for [`PROBE_LEASE`], unless it
    /// [goes on](Self::go_on_probing).
    #[cfg(any(test, feature = "resolver"))]
    pub(super) fn begin_probing(&self, now: u64) -> bool {
        let lease = |until: u64| (until <= now).then(|| now.saturating_add(PROBE_LEASE));
        self.probed_until.fetch_update(Relaxed, Relaxed, lease).is_ok()
    }

    #[cfg(any(test, feature = "resolver"))]
    pub(super) fn go_on_probing(&self, now: u64) {
        self.probed_until.store(now.saturating_add(PROBE_LEASE), Relaxed);
    }

    #[cfg(any(test, feature = "resolver"))]
    pub(super) fn end_probing(&self) {
        self.probed_until.store(0, Relaxed);
    }
}

/// A back-off period.
#[derive(Clone, Copy)]
struct Period {
    /// How many periods came before and ended with a failure.
    failures: u32,
    until: u64,
}

impl Period {
    fn unpack(word: u64) -> Self {
        let failures = ((word >> UNTIL_BITS) & FAILURES_MAX) as u32;
        Self { failures, until: word & UNTIL_MAX }
    }

    /// The word of the period that begins with a failure at `now`.
    fn next(self, now: u64) -> u64 {
        let pause = u64::try_from(backoff(self.failures, BACKOFF_MAX).as_millis()).unwrap_or(UNTIL_MAX);
        let until = now.saturating_add(pause).min(UNTIL_MAX);
        let failures = (u64::from(self.failures) + 1).min(FAILURES_MAX);
        UNREACHABLE << KIND_SHIFT | failures << UNTIL_BITS | until
    }
}

/// The pause after this many earlier failures: 0.25 s, doubled with each, at most `max`.
pub(crate) fn backoff(failures: u32, max: Duration) -> Duration {
    BACKOFF.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(max)
}

/// Long enough that a pod under load is not asked in every moment, and short enough that a lost packet costs little.
const BACKOFF: Duration = Duration::from_millis(250);

/// The longest pause. A pod that stays away for longer has usually been replaced, and then the sources say so.
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// How long a probe decides without a sign of life, in milliseconds. The task of a probe may be on a runtime that is not
/// driven any more, and then requests have to find out. Longer than a pause and a connection take.
#[cfg(any(test, feature = "resolver"))]
const PROBE_LEASE: u64 = 60_000;

const CONNECTED: u64 = 1;
const UNREACHABLE: u64 = 2;
const KIND_SHIFT: u32 = 62;
/// 34 years of milliseconds.
const UNTIL_BITS: u32 = 40;
const UNTIL_MAX: u64 = (1 << UNTIL_BITS) - 1;
const FAILURES_MAX: u64 = 31;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_back_off_doubles_from_a_quarter_of_a_second_to_ten_seconds() {
        let reach = Reach::default();
        let mut now = 1_000;
        reach.failed(now);
        for pause in [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000] {
            reach.failed(now + pause / 2);
            assert!(!reach.may_try(now + pause - 1), "{pause}");
            now += pause;
            assert!(reach.may_try(now) && !reach.may_try(now), "one request is the trial: {pause}");
        }
        reach.connected();
        assert_eq!(reach.get(), Reachability::Connected);
        reach.failed(now);
        assert!(!reach.may_try(now + 249) && reach.may_try(now + 250), "a connection ends the doubling");
    }

    #[test]
    fn no_request_is_the_trial_while_the_endpoint_is_probed() {
        let reach = Reach::default();
        reach.failed(0);
        assert!(reach.begin_probing(1_000) && !reach.begin_probing(1_000));
        assert!(!reach.may_try(60_999));
        reach.go_on_probing(50_000);
        assert!(!reach.may_try(109_999));
        reach.end_probing();
        assert!(reach.may_try(109_999));
    }

    #[test]
    fn a_probe_whose_runtime_is_not_driven_does_not_decide_for_ever() {
        let reach = Reach::default();
        reach.failed(0);
        assert!(reach.begin_probing(1_000));
        assert!(!reach.may_try(1_000 + PROBE_LEASE - 1) && reach.may_try(1_000 + PROBE_LEASE));
        assert!(reach.begin_probing(1_000 + PROBE_LEASE), "another runtime takes over");
    }

    #[test]
    fn an_endpoint_that_moved_is_unknown() {
        let reach = Reach::default();
        assert_eq!(reach.get(), Reachability::Unknown);
        reach.failed(UNTIL_MAX + 5);
        assert_eq!((reach.get(), reach.is_unreachable()), (Reachability::Unreachable, true));
        reach.forget();
        assert_eq!((reach.get(), reach.is_unreachable()), (Reachability::Unknown, false));
    }
}
