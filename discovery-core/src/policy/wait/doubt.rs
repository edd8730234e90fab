//! A pause is not a slow endpoint.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Whether a much slower answer than usual has been confirmed by a later request.
///
/// One pause, such as a garbage collection, delays the requests that are in flight at that moment. A slow endpoint
/// delays the next request too. Until a request that started after the slow answer has shown which of the two it is,
/// the endpoint is in doubt, and its estimate soon returns to the fleet's mean.
#[derive(Debug, Default)]
pub(super) struct Doubt(
    /// When the slow answer arrived, in nanoseconds; [`NONE`] or [`CONFIRMED`].
    AtomicU64,
);

impl Doubt {
    #[inline]
    pub(super) fn is_none(&self) -> bool {
        self.0.load(Relaxed) == NONE
    }

    pub(super) fn is_open(&self) -> bool {
        !matches!(self.0.load(Relaxed), NONE | CONFIRMED)
    }

    /// A request that started at `started` has been answered slowly at `at`, both in nanoseconds. `is_usual` says that
    /// the endpoint was as fast as the others until then.
    pub(super) fn slow(&self, started: u64, at: u64, is_usual: bool) {
        let next = match self.0.load(Relaxed) {
            NONE if is_usual => at.clamp(NONE + 1, CONFIRMED - 1),
            NONE => CONFIRMED,
            since if started >= since => CONFIRMED,
            since => since,
        };
        self.0.store(next, Relaxed);
    }

    pub(super) fn confirm(&self) {
        self.0.store(CONFIRMED, Relaxed);
    }

    /// The endpoint is as fast as the others.
    pub(super) fn end(&self) {
        self.0.store(NONE, Relaxed);
    }
}

const NONE: u64 = 0;
const CONFIRMED: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_one_pause_do_not_confirm_each_other() {
        let doubt = Doubt::default();
        for (started, at, is_open) in [(100, 400, true), (150, 401, true), (399, 402, true), (500, 900, false)] {
            doubt.slow(started, at, true);
            assert_eq!((doubt.is_none(), doubt.is_open()), (false, is_open), "{started}");
        }
        doubt.end();
        assert!(doubt.is_none());
    }

    #[test]
    fn an_endpoint_that_was_slow_already_is_not_doubted() {
        let doubt = Doubt::default();
        doubt.slow(0, 100, false);
        assert!(!doubt.is_open() && !doubt.is_none());
    }
}
