//! What the endpoints of one client have in common.

use std::{ptr, time::Instant};

use super::{mean::Mean, nanos, tick};

/// The mean latency of the successful requests to all endpoints of one client.
#[derive(Debug)]
pub(in crate::policy) struct Fleet {
    epoch: Instant,
    mean: Mean,
}

impl Fleet {
    pub(in crate::policy) fn new(epoch: Instant) -> Self {
        Self { epoch, mean: Mean::default() }
    }

    pub(in crate::policy) fn epoch(&self) -> Instant {
        self.epoch
    }

    pub(super) fn nanos(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.epoch))
    }

    /// What an estimate at `at` depends on beside its endpoint: the tick, and whether the mean is known. Never 0.
    #[inline]
    pub(super) fn key(&self, at: u64) -> u32 {
        let is_known = self.mean.is_known();
        (tick(at) << 2) | (u32::from(is_known) << 1) | 1
    }

    /// The mean in seconds.
    pub(super) fn mean(&self) -> f32 {
        let (mean, weight) = self.mean.load();
        if weight > 0.0 { mean } else { UNKNOWN }
    }

    pub(super) fn succeeded(&self, latency: f32, at: u64) {
        let (mean, weight) = self.mean.load();
        let sample = if weight > 0.0 { latency.min(OUTLIER * mean) } else { latency };
        self.mean.add(sample.max(SHORTEST), tick(at), None);
    }
}

/// The time of a pick, with the key that its endpoints compare: they share a fleet, so the key is computed once.
pub(in crate::policy) struct Moment<'a> {
    now: Instant,
    keyed: Option<(&'a Fleet, u32)>,
}

impl<'a> Moment<'a> {
    #[inline]
    pub(in crate::policy) fn new(now: Instant) -> Self {
        Self { now, keyed: None }
    }

    pub(super) fn now(&self) -> Instant {
        self.now
    }

    #[inline]
    pub(super) fn key(&mut self, fleet: &'a Fleet) -> u32 {
        match self.keyed {
            Some((keyed, key)) if ptr::eq(keyed, fleet) => key,
            _ => {
                let key = fleet.key(fleet.nanos(self.now));
                self.keyed = Some((fleet, key));
                key
            }
        }
    }
}

/// A sample of the fleet's mean counts as at most so many times the mean, and a slower answer than that is unusual.
pub(super) const OUTLIER: f32 = 4.0;
/// The fleet's mean before the first success, in seconds.
const UNKNOWN: f32 = 0.03;
/// The least sample of the fleet's mean, in seconds: a mean of 0 would make all estimates 0, failures included.
const SHORTEST: f32 = 1e-6;
