//! Counts failures, for the waits between requests. Pure.

use std::time::Duration;

use super::failure::Failure;

/// The failures in a row of each kind of request. A list that succeeds says nothing about watches: an API server that
/// refuses every watch still lists.
#[derive(Debug, Default)]
pub(super) struct Pace {
    lists: u32,
    watches: u32,
    /// The 410s in a row. They have a count of their own: after a long outage, the first one is no reason to wait.
    expired: u32,
}

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    List,
    Watch,
}

/// How a watch went that the API server had begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct WatchRun {
    pub(super) lasted: Duration,
    pub(super) had_events: bool,
}

impl Pace {
    /// Notes that a list has arrived.
    pub(super) fn listed(&mut self) {
        self.lists = 0;
    }

    /// Notes how a watch went, before its failure is noted. `long` is the longest wait after failures.
    pub(super) fn watched(&mut self, run: WatchRun, failure: Option<&Failure>, long: Duration) {
        let is_cut = matches!(failure, Some(Failure::Cut(_)));
        // A watch that lasted has nothing to do with earlier failures. One that the network cut after it had worked
        // does not say either that the API server refuses watches.
        if failure.is_none() || run.lasted >= long || is_cut && run.worked() {
            (self.watches, self.expired) = (0, 0);
        }
    }

    /// Notes a failure, and returns the number of failures in a row.
    pub(super) fn failed(&mut self, kind: Kind, failure: &Failure) -> u32 {
        let count = match (kind, failure) {
            (_, Failure::Gone) => &mut self.expired,
            (Kind::List, _) => &mut self.lists,
            (Kind::Watch, _) => &mut self.watches,
        };
        *count = count.saturating_add(1);
        *count
    }

    /// Returns whether a list is due before the next watch, since the cause of so many failures may be the version that
    /// the watch begins with. A refusal that has nothing to do with the version does not cause more requests.
    pub(super) fn needs_list(&self, failure: &Failure) -> bool {
        let is_due = self.lists >= RELIST_AFTER || self.watches > 0 && self.watches.is_multiple_of(RELIST_AFTER);
        match failure {
            Failure::Gone => true,
            Failure::Ended | Failure::Cut(_) | Failure::Other(_) => is_due,
            Failure::Unauthorized(_) | Failure::Denied(..) | Failure::Busy(..) => false,
        }
    }
}

impl WatchRun {
    /// Returns whether the watch was more than a refusal: client-go calls one "very short" that ends within a second
    /// without an event.
    pub(super) fn worked(self) -> bool {
        self.had_events || self.lasted >= VERY_SHORT
    }
}

/// After this many failures in a row, a list is requested before the next watch.
const RELIST_AFTER: u32 = 5;

/// client-go's limit (`tools/cache/reflector.go`, `handleAnyWatch`), less what a timer may be early.
const VERY_SHORT: Duration = Duration::from_millis(900);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::kubernetes::cache::Denial;

    const LONG: Duration = Duration::from_secs(30);

    fn run(millis: u64, had_events: bool) -> WatchRun {
        WatchRun { lasted: Duration::from_millis(millis), had_events }
    }

    fn other() -> Failure {
        Failure::Other(String::new())
    }

    fn after(run: WatchRun, failure: &Failure) -> u32 {
        let mut pace = Pace { lists: 0, watches: 3, expired: 3 };
        pace.watched(run, Some(failure), LONG);
        pace.failed(Kind::Watch, failure)
    }

    /// client-go backs off to 30 s over any number of lists.
    #[test]
    fn a_list_does_not_reset_the_count_of_refused_watches() {
        let mut pace = Pace::default();
        for count in 1..9 {
            for refusal in [Failure::Gone, other()] {
                pace.listed();
                pace.watched(run(2, false), Some(&refusal), LONG);
                assert_eq!(pace.failed(Kind::Watch, &refusal), count);
            }
            assert_eq!(pace.failed(Kind::List, &other()), 1);
        }
        pace.watched(run(30_000, false), None, LONG);
        assert_eq!([Failure::Gone, other()].map(|refusal| pace.failed(Kind::Watch, &refusal)), [1, 1]);
    }

    /// A Role that is back after hours: the version is too old by then, and the list that this takes is not delayed.
    #[test]
    fn the_first_410_after_other_failures_is_the_first() {
        let mut pace = Pace { lists: 70, watches: 70, expired: 0 };
        pace.listed();
        assert_eq!(pace.failed(Kind::Watch, &Failure::Gone), 1);
    }

    #[test]
    fn only_a_watch_that_worked_resets_the_count() {
        let cut = Failure::Cut(String::new());
        assert_eq!([after(run(1000, false), &cut), after(run(1, true), &cut)], [1, 1]);
        assert_eq!([after(run(1, false), &cut), after(run(1, false), &Failure::Ended)], [4, 4]);
        for refusal in [Failure::Gone, other(), Failure::Unauthorized(String::new())] {
            assert_eq!([after(run(29_999, true), &refusal), after(run(30_000, false), &refusal)], [4, 1]);
        }
    }

    #[test]
    fn lists_again_after_every_fifth_failure_that_may_be_due_to_the_version() {
        let due = |failure: &Failure| {
            let mut pace = Pace::default();
            let due = (1..=11).filter(|_| {
                pace.failed(Kind::Watch, failure);
                pace.needs_list(failure)
            });
            due.collect::<Vec<u32>>()
        };
        assert_eq!(due(&other()), [5, 10]);
        assert_eq!(due(&Failure::Ended), [5, 10]);
        assert_eq!(due(&Failure::Gone).len(), 11);
        for refusal in [
            Failure::Busy(String::new(), LONG),
            Failure::Unauthorized(String::new()),
            Failure::Denied(Denial::Watch, String::new()),
        ] {
            assert_eq!(due(&refusal), Vec::<u32>::new());
        }
        let unreachable = Pace { lists: 5, watches: 1, expired: 0 };
        assert!(unreachable.needs_list(&other()));
    }
}
