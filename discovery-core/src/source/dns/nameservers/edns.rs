//! Whether one nameserver understands EDNS (RFC 6891 section 7). Pure.

use std::time::{Duration, Instant};

/// How long a nameserver that has understood EDNS is not doubted: it may be many servers behind one address.
const UNDERSTOOD_FOR: Duration = Duration::from_secs(60);

/// How long a nameserver that failed with EDNS and without it is not doubted: the failure has another cause, and a
/// second query for each failure would be twice the load.
const FAILED_FOR: Duration = Duration::from_secs(10);

/// How long a nameserver that said it does not understand EDNS is queried without it.
const REFUSED_FOR: Duration = Duration::from_secs(600);

/// The same for a nameserver that stayed silent, or failed, with EDNS and not without. Two packets may have been lost,
/// so this time is short at first. It doubles, up to [`REFUSED_FOR`].
const SILENT_FOR: Duration = Duration::from_secs(60);

/// What a question without EDNS showed, after one with EDNS had no usable answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trial {
    /// It was answered; the answer to the question with EDNS was FORMERR or NOTIMP.
    Refused,
    /// It was answered; the question with EDNS was not, or with SERVFAIL.
    Ignored,
    /// It failed as well.
    Failed,
}

/// What the answers of one nameserver showed about EDNS.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EdnsMemory {
    /// Until when queries go without EDNS.
    without_until: Option<Instant>,
    /// Until when a failure is not taken for one of EDNS.
    settled_until: Option<Instant>,
    /// How often EDNS was ignored since it was last understood.
    ignored: u32,
}

impl EdnsMemory {
    /// Whether a question that begins at `now` has EDNS.
    pub(super) fn is_used(&self, now: Instant) -> bool {
        self.without_until.is_none_or(|until| now >= until)
    }

    /// Whether a failure at `now` may be one of EDNS, so that the question is asked once more without it.
    pub(super) fn is_doubtful(&self, now: Instant) -> bool {
        self.is_used(now) && self.settled_until.is_none_or(|until| now >= until)
    }

    /// A question with EDNS was answered.
    pub(super) fn on_understood(&mut self, now: Instant) {
        *self = Self { without_until: None, settled_until: now.checked_add(UNDERSTOOD_FOR), ignored: 0 };
    }

    pub(super) fn on_trial(&mut self, trial: Trial, now: Instant) {
        match trial {
            Trial::Refused => self.without_until = now.checked_add(REFUSED_FOR),
            Trial::Ignored => {
                let times = 1_u32.checked_shl(self.ignored).unwrap_or(u32::MAX);
                self.without_until = now.checked_add(SILENT_FOR.saturating_mul(times).min(REFUSED_FOR));
                self.ignored = self.ignored.saturating_add(1);
            }
            Trial::Failed => self.settled_until = now.checked_add(FAILED_FOR),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_server_without_edns_is_queried_without_it_for_ten_minutes() {
        let now = clock::now();
        let mut memory = EdnsMemory::default();
        assert!(memory.is_used(now) && memory.is_doubtful(now));
        memory.on_trial(Trial::Refused, now);
        assert!(!memory.is_used(now + secs(599)) && !memory.is_doubtful(now));
        assert!(memory.is_used(now + secs(600)));
    }

    /// Two lost packets look like a server that ignores EDNS.
    #[test]
    fn silence_switches_edns_off_for_a_minute_that_doubles() {
        let mut now = clock::now();
        let mut memory = EdnsMemory::default();
        for minutes in [1, 2, 4, 8, 10, 10] {
            memory.on_trial(Trial::Ignored, now);
            assert!(!memory.is_used(now + secs(60 * minutes - 1)), "{minutes}");
            now += secs(60 * minutes);
            assert!(memory.is_used(now), "{minutes}");
        }
        memory.on_understood(now);
        memory.on_trial(Trial::Ignored, now);
        assert!(memory.is_used(now + secs(60)));
    }

    #[test]
    fn a_server_that_understands_edns_is_not_doubted_for_a_minute() {
        let now = clock::now();
        let mut memory = EdnsMemory::default();
        memory.on_understood(now);
        assert!(!memory.is_doubtful(now + secs(59)) && memory.is_used(now));
        assert!(memory.is_doubtful(now + secs(60)));
    }

    #[test]
    fn a_failure_without_edns_too_is_not_tried_again_for_ten_seconds() {
        let now = clock::now();
        let mut memory = EdnsMemory::default();
        memory.on_trial(Trial::Failed, now);
        assert!(memory.is_used(now) && !memory.is_doubtful(now + secs(9)));
        assert!(memory.is_doubtful(now + secs(10)));
    }
}
