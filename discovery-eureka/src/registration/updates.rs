//! How often a change may be told at once.

use std::time::{Duration, Instant};

/// A bucket of two tokens that fills within one interval, as in the Java client's `InstanceInfoReplicator`: two changes at
/// once, then four a minute. What is refused waits for the next periodic run.
#[derive(Debug)]
pub(super) struct Updates {
    /// What one token takes to come.
    each: Duration,
    /// The bucket is full from then on.
    full_at: Instant,
}

const BURST: u32 = 2;

impl Updates {
    pub(super) fn new(interval: Duration, now: Instant) -> Self {
        Self { each: interval / BURST, full_at: now }
    }

    pub(super) fn take(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + self.each;
        let fits = full_at <= now + self.each * BURST;
        if fits {
            self.full_at = full_at;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_at_once_then_four_a_minute() {
        let start = Instant::now();
        let mut updates = Updates::new(Duration::from_secs(30), start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(updates.take(start) && updates.take(start));
        assert!(!updates.take(at(14)));
        assert!(updates.take(at(15)));
        assert!(!updates.take(at(16)));
        let taken = (16..76).filter(|second| updates.take(at(*second))).count();
        assert_eq!(taken, 4);
        assert!(
            updates.take(at(1000)) && updates.take(at(1000)) && !updates.take(at(1000)),
            "no more than two are saved"
        );
    }
}
