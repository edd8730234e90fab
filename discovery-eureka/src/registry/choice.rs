//! Which URL is asked next, by the rules of the Java client's `RetryableEurekaHttpClient`. Pure.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use discovery_core::policy::{Rng as _, SplitMix64};

/// How many URLs one call tries.
const ATTEMPTS: usize = 3;

/// After how long a good server is left, give or take a half: connections would otherwise gather at the servers that
/// were never restarted (`SessionedEurekaHttpClient`).
const SESSION: Duration = Duration::from_secs(20 * 60);

/// Which of several URLs is asked next: the last good one; those that failed come last, until most have.
#[derive(Debug)]
pub(super) struct Choice {
    count: usize,
    good: Option<usize>,
    quarantine: BTreeSet<usize>,
    session_ends: Option<Instant>,
    rng: SplitMix64,
}

impl Choice {
    pub(super) fn new(count: usize, rng: SplitMix64) -> Self {
        Self { count, good: None, quarantine: BTreeSet::new(), session_ends: None, rng }
    }

    /// The URLs to try, in this order, and whether all connections are to be made anew. One alone is tried twice.
    pub(super) fn candidates(&mut self, now: Instant) -> (Vec<usize>, bool) {
        let over = self.session_ends.is_some_and(|end| end <= now);
        if over {
            self.good = None;
        }
        if over || self.session_ends.is_none() {
            let part = 0.5 + self.rng.below(1001) as f64 / 1000.0;
            self.session_ends = Some(now + SESSION.mul_f64(part));
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

    pub(super) fn good(&mut self, at: usize) {
        self.good = Some(at);
        self.quarantine.remove(&at);
    }

    pub(super) fn bad(&mut self, at: usize) {
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

    fn choice(count: usize) -> (Choice, Instant) {
        (Choice::new(count, SplitMix64::with_seed(1)), Instant::now())
    }

    #[test]
    fn one_alone_is_tried_twice_and_never_quarantined() {
        let (mut one, now) = choice(1);
        for _ in 0..5 {
            assert_eq!(one.candidates(now), (vec![0, 0], false));
            one.bad(0);
        }
    }

    #[test]
    fn the_good_one_stays() {
        let (mut several, now) = choice(4);
        assert_eq!(several.candidates(now).0, [0, 1, 2]);
        several.bad(0);
        several.good(1);
        for _ in 0..5 {
            assert_eq!(several.candidates(now).0, [1, 2, 3], "sticky, and the failed one is left out");
        }
    }

    /// `RetryableEurekaHttpClient.getHostCandidates`: int(4 * 0.66) = 2.
    #[test]
    fn when_most_have_failed_all_are_tried_again() {
        let (mut several, now) = choice(4);
        several.bad(3);
        assert_eq!(several.candidates(now).0, [0, 1, 2]);
        several.bad(0);
        assert_eq!(several.candidates(now).0, [0, 1, 2], "two of four: the quarantine is over");
        several.bad(0);
        assert_eq!(several.candidates(now).0, [1, 2, 3]);
    }

    #[test]
    fn a_session_ends_after_ten_to_thirty_minutes() {
        for seed in 0..50 {
            let mut several = Choice::new(2, SplitMix64::with_seed(seed));
            let now = Instant::now();
            assert_eq!(several.candidates(now), (vec![0, 1], false));
            several.good(1);
            assert_eq!(several.candidates(now + Duration::from_secs(599)), (vec![1, 0], false));
            let (candidates, renew) = several.candidates(now + Duration::from_secs(1801));
            assert_eq!((candidates, renew), (vec![0, 1], true), "the good one is forgotten");
        }
    }
}
