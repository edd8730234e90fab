//! How long to wait before the next try. Pure: entropy is an argument.

use std::time::Duration;

/// The waits of one watch.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Timing {
    /// How long a watch lasts at most, as the API server is told. The server ends it; if it does not, we do, a little
    /// later: that is how a connection is noticed on which nothing comes any more.
    pub(in super::super) watch: Duration,
    /// The first wait after a failure, and the longest.
    pub(in super::super) backoff: (Duration, Duration),
    /// How long what was known is held against an API server that cannot be heard, or that has lost its memory.
    pub(in super::super) hold: Duration,
    /// The wait after a refusal that only somebody's doing can lift: a missing Role, a missing resource.
    pub(in super::super) refused: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            // A dead connection is noticed within two minutes and a bit; informers take 5 to 10 min, to spare the
            // API server a request that costs it next to nothing.
            watch: Duration::from_secs(120),
            // All clients lose their watches in the same moment when an API server goes: the first tries are spread
            // over a second, the last ones over half a minute.
            backoff: (Duration::from_secs(1), Duration::from_secs(30)),
            // A little less than what a resolver keeps a stale set for (`max_stale`, 5 min), so that DNS takes over
            // without a gap.
            hold: Duration::from_secs(270),
            refused: Duration::from_secs(60),
        }
    }
}

impl Timing {
    /// The wait after `failures` failures in a row, the first of which is 1: anything up to the first step at first,
    /// then a half to the whole of a step that doubles.
    pub(in super::super) fn after(&self, failures: u32, unit: f64) -> Duration {
        let (initial, max) = self.backoff;
        if failures <= 1 {
            return initial.mul_f64(unit);
        }
        let factor = 1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
        initial.saturating_mul(factor).min(max).mul_f64(0.5 + unit / 2.0)
    }

    /// The wait after a refusal: up to a fifth less or more.
    pub(in super::super) fn after_refusal(&self, unit: f64) -> Duration {
        self.refused.mul_f64(0.8 + 0.4 * unit)
    }

    /// What to tell the API server: three quarters to the whole, so that the watches of many clients do not end
    /// together. Whole seconds, at least one.
    pub(in super::super) fn watch_seconds(&self, unit: f64) -> u32 {
        // At most 290 s, which the client library wants, by the bound of the setting.
        (self.watch.as_secs_f64() * (0.75 + unit / 4.0)).round().clamp(1.0, 290.0) as u32
    }

    /// How long after the server's own end we end a watch.
    pub(in super::super) fn grace(&self) -> Duration {
        self.watch.min(Duration::from_secs(10))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_spread_and_bounded() {
        let timing = Timing::default();
        let secs = |failures, unit| timing.after(failures, unit).as_secs_f64();
        assert_eq!((secs(1, 0.0), secs(1, 0.5)), (0.0, 0.5));
        assert_eq!((secs(2, 0.0), secs(2, 1.0)), (1.0, 2.0));
        assert_eq!((secs(3, 0.0), secs(3, 1.0)), (2.0, 4.0));
        assert_eq!((secs(99, 0.0), secs(99, 1.0)), (15.0, 30.0));
        assert_eq!((timing.watch_seconds(0.0), timing.watch_seconds(1.0)), (90, 120));
        assert_eq!(timing.after_refusal(0.5), Duration::from_secs(60));
        let short = Timing { watch: Duration::from_millis(10), ..timing };
        assert_eq!((short.watch_seconds(0.0), short.grace()), (1, Duration::from_millis(10)));
    }
}
