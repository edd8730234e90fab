//! When a registration sends its next request. Pure.

use std::time::{Duration, Instant};

/// The first retry delay; it doubles with each further failure.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// The times of the heartbeats, the pauses after failures, and the limit of status changes.
#[derive(Debug)]
pub(super) struct Pace {
    renewal: Duration,
    lease: Duration,
    heartbeat_at: Instant,
    /// Only heartbeats are sent before then.
    paused_until: Instant,
    failures: u32,
    update_limit: UpdateLimit,
}

impl Pace {
    /// A heartbeat is due each `renewal`; the registry evicts the pod `lease` after the last one.
    pub(super) fn new(renewal: Duration, lease: Duration, now: Instant) -> Self {
        let update_limit = UpdateLimit::new(renewal, now);
        Self { renewal, lease, heartbeat_at: now, paused_until: now, failures: 0, update_limit }
    }

    pub(super) fn heartbeat_at(&self) -> Instant {
        self.heartbeat_at
    }

    pub(super) fn paused_until(&self) -> Instant {
        self.paused_until
    }

    /// Whether the last request failed.
    pub(super) fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// The registry has accepted a request.
    pub(super) fn on_success(&mut self, now: Instant) {
        self.failures = 0;
        self.paused_until = now;
    }

    /// The registry has accepted a registration or a heartbeat.
    pub(super) fn on_renewal(&mut self, now: Instant) {
        self.on_success(now);
        self.heartbeat_at = now + self.renewal;
    }

    /// A request has failed. A heartbeat is repeated after the pause.
    pub(super) fn on_failure(&mut self, is_heartbeat: bool, now: Instant) {
        let retry_at = now + self.retry_delay();
        self.failures = self.failures.saturating_add(1);
        self.paused_until = retry_at;
        if is_heartbeat {
            self.heartbeat_at = retry_at;
        }
    }

    /// Sends only heartbeats for one interval.
    pub(super) fn pause(&mut self, now: Instant) {
        self.paused_until = now + self.renewal;
    }

    /// Sends nothing until the next heartbeat.
    pub(super) fn pause_until_heartbeat(&mut self, now: Instant) {
        self.paused_until = self.heartbeat_at.max(now + FIRST_RETRY.min(self.renewal));
    }

    /// Sends a status change now, within the limit: a change beyond it waits for the next heartbeat. Every change waits
    /// while no registry responds. A registry that has `refused` a change responds: a change that is allowed does not wait
    /// behind it.
    pub(super) fn limit_update(&mut self, refused: bool, now: Instant) {
        if self.failures == 0 || refused {
            self.paused_until = if self.update_limit.take(now) { now } else { self.heartbeat_at };
        }
    }

    /// At most a third of the lease, so that the lease survives two failures.
    fn retry_delay(&self) -> Duration {
        let most = self.renewal.min(self.lease / 3);
        FIRST_RETRY.saturating_mul(1 << self.failures.min(16)).min(most)
    }
}

/// How often a status change is sent at once: a bucket of two tokens that fills within one interval, as in the Java
/// client's `InstanceInfoReplicator`. That allows two changes at once, then four per minute.
#[derive(Debug)]
struct UpdateLimit {
    /// The time for one token.
    per_token: Duration,
    full_at: Instant,
}

const BURST: u32 = 2;

impl UpdateLimit {
    fn new(interval: Duration, now: Instant) -> Self {
        Self { per_token: interval / BURST, full_at: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        let full_at = self.full_at.max(now) + self.per_token;
        let fits = full_at <= now + self.per_token * BURST;
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
    fn update_limit_allows_two_at_once_then_four_per_minute() {
        let start = Instant::now();
        let mut limit = UpdateLimit::new(Duration::from_secs(30), start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(limit.take(start) && limit.take(start));
        assert!(!limit.take(at(14)));
        assert!(limit.take(at(15)));
        assert!(!limit.take(at(16)));
        let taken = (16..76).filter(|second| limit.take(at(*second))).count();
        assert_eq!(taken, 4);
        assert!(limit.take(at(1000)) && limit.take(at(1000)) && !limit.take(at(1000)), "at most two tokens are saved");
    }
}
