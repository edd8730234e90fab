//! What requests report about the address that variables give.

use std::time::{Duration, Instant};

/// How long variables give way to the next source after the first report: as long as Envoy's `base_ejection_time`, and
/// longer than a Service without ready pods needs to get one again.
const FIRST_HOLD: Duration = Duration::from_secs(30);

/// The longest time that variables give way. Every return to a dead address may cost a request an attempt, and the
/// variables of a process never change, so an hour is soon enough.
const LONGEST_HOLD: Duration = Duration::from_secs(60 * 60);

/// Whether requests have reported the address as unreachable, and for how long the report counts.
///
/// A report counts for 30 s. If the address is unreachable again soon after that, the next report counts for twice as
/// long, up to an hour.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reports {
    until: Option<Instant>,
    hold: Duration,
}

impl Reports {
    /// Records a report. Returns whether it is news: no earlier report counts any more.
    pub(super) fn on_unreachable(&mut self, now: Instant) -> bool {
        if self.left(now).is_some() {
            return false;
        }
        let soon = self.until.is_some_and(|until| now.saturating_duration_since(until) < self.hold);
        self.hold = if soon { self.hold.saturating_mul(2).min(LONGEST_HOLD) } else { FIRST_HOLD };
        self.until = now.checked_add(self.hold);
        true
    }

    /// How much longer the last report counts; `None` if it does not.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        self.until?.checked_duration_since(now).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_counts_longer_if_the_address_is_unreachable_again() {
        let start = crate::clock::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut reports = Reports::default();
        assert_eq!(reports.left(at(0)), None);
        assert!(reports.on_unreachable(at(0)));
        assert!(!reports.on_unreachable(at(10)), "it counts already");
        assert_eq!(reports.left(at(10)), Some(Duration::from_secs(20)));
        assert_eq!(reports.left(at(30)), None);
        assert!(reports.on_unreachable(at(31)));
        assert_eq!(reports.left(at(31)), Some(Duration::from_secs(60)));
        let mut now = 91;
        for _ in 0..20 {
            assert!(reports.on_unreachable(at(now)));
            now += reports.left(at(now)).expect("it counts").as_secs();
        }
        assert!(reports.on_unreachable(at(now)));
        assert_eq!(reports.left(at(now)), Some(LONGEST_HOLD));
        // The address was reachable for longer than the last report counted.
        let later = now + 2 * LONGEST_HOLD.as_secs();
        assert!(reports.on_unreachable(at(later)));
        assert_eq!(reports.left(at(later)), Some(FIRST_HOLD));
    }
}
