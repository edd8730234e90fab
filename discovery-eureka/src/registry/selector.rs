//! Which registry URL is used next, by the rules of the Java client's `RetryableEurekaHttpClient`. Pure.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use discovery_core::policy::{Rng as _, SplitMix64};

/// How many URLs one call tries.
const ATTEMPTS: usize = 3;

/// How long a working registry is used before the first one is tried again, plus or minus half. Otherwise connections
/// would gather at the registries that were never restarted (`SessionedEurekaHttpClient`).
const SESSION: Duration = Duration::from_secs(20 * 60);

/// Chooses among several URLs: the one that responded last comes first. URLs that failed are quarantined until most of
/// them have failed.
#[derive(Debug)]
pub(super) struct UrlSelector {
    count: usize,
    good: Option<usize>,
    quarantine: BTreeSet<usize>,
    session_ends: Option<Instant>,
    rng: SplitMix64,
}

impl UrlSelector {
    pub(super) fn new(count: usize, rng: SplitMix64) -> Self {
        Self { count, good: None, quarantine: BTreeSet::new(), session_ends: None, rng }
    }

    /// Returns the URLs to try, in order, and whether the session is over, so that all connections have to be replaced.
    /// A single URL is tried twice.
    pub(super) fn candidates(&mut self, now: Instant) -> (Vec<usize>, bool) {
        let over = self.session_ends.is_some_and(|end| end <= now);
        if over {
            self.good = None;
        }
        if over || self.session_ends.is_none() {
            let jitter = 0.5 + self.rng.below(1001) as f64 / 1000.0;
            self.session_ends = Some(now + SESSION.mul_f64(jitter));
        }
        if self.count == 1 {
            return (vec![0, 0], over);
        }
        if self.quarantine.len() >= self.count * 66 / 100 {
            self.quarantine.clear();
        }
        let fit = (0..self.count).filter(|at| !self.quarantine.contains(at) && self.good != Some(*at));
        (self.good.into_iter().chain(fit).take(ATTEMPTS).collect(), over)
    }

    pub(super) fn record_success(&mut self, at: usize) {
        self.good = Some(at);
        self.quarantine.remove(&at);
    }

    pub(super) fn record_failure(&mut self, at: usize) {
        if self.count > 1 {
            self.quarantine.insert(at);
        }
        if self.good == Some(at) {
            self.good = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(count: usize) -> (UrlSelector, Instant) {
        (UrlSelector::new(count, SplitMix64::with_seed(1)), Instant::now())
    }

    #[test]
    fn tries_a_single_url_twice_and_never_quarantines_it() {
        let (mut one, now) = selector(1);
        for _ in 0..5 {
            assert_eq!(one.candidates(now), (vec![0, 0], false));
            one.record_failure(0);
        }
    }

    #[test]
    fn stays_with_the_url_that_responded() {
        let (mut several, now) = selector(4);
        assert_eq!(several.candidates(now).0, [0, 1, 2]);
        several.record_failure(0);
        several.record_success(1);
        for _ in 0..5 {
            assert_eq!(several.candidates(now).0, [1, 2, 3], "sticky, without the failed URL");
        }
    }

    /// `RetryableEurekaHttpClient.getHostCandidates`: int(4 * 0.66) = 2.
    #[test]
    fn clears_the_quarantine_once_most_urls_failed() {
        let (mut several, now) = selector(4);
        several.record_failure(3);
        assert_eq!(several.candidates(now).0, [0, 1, 2]);
        several.record_failure(0);
        assert_eq!(several.candidates(now).0, [0, 1, 2], "two of four: the quarantine is over");
        several.record_failure(0);
        assert_eq!(several.candidates(now).0, [1, 2, 3]);
    }

    #[test]
    fn session_ends_after_ten_to_thirty_minutes() {
        for seed in 0..50 {
            let mut several = UrlSelector::new(2, SplitMix64::with_seed(seed));
            let now = Instant::now();
            assert_eq!(several.candidates(now), (vec![0, 1], false));
            several.record_success(1);
            assert_eq!(several.candidates(now + Duration::from_secs(599)), (vec![1, 0], false));
            let (candidates, renew) = several.candidates(now + Duration::from_secs(1801));
            assert_eq!((candidates, renew), (vec![0, 1], true), "starts over with the first URL");
        }
    }
}
