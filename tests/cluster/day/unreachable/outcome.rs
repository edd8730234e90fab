//! What came of one client in one scenario.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    time::{Duration, Instant},
};

use super::super::load::Tally;

/// The requests of one client, and the moments of the scenario.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) client: &'static str,
    pub(super) tally: Tally,
    /// The beginning of the time without an event.
    pub(super) quiet: Instant,
    pub(super) begun: Instant,
    pub(super) ended: Instant,
    pub(super) victims: BTreeSet<IpAddr>,
}

pub(super) const HEAD: &str = "\
| scenario | client | event | requests | failed | sent after 2 s and failed | slowest | p99 before / during | back at all pods |
|---|---|---|---|---|---|---|---|---|
";

impl Outcome {
    pub(super) fn row(&self, title: &str) -> String {
        let (before, event) = (self.tally.sent(self.quiet..self.begun), self.tally.sent(self.begun..self.ended));
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        let back = if self.victims.is_empty() {
            "-".to_owned()
        } else {
            self.back().map_or("never".to_owned(), |back| format!("{:.0} ms", millis(back)))
        };
        format!(
            "| {title} | {} | {:.0} s | {} | {} | {} | {:.0} ms | {:.1} / {:.1} ms | {back} |\n",
            self.client,
            (self.ended - self.begun).as_secs_f64(),
            self.tally.requests(),
            self.tally.failed(),
            self.later().failed(),
            millis(self.tally.slowest()),
            millis(before.quantile(0.99)),
            millis(event.quantile(0.99)),
        )
    }

    /// Fails if the scenario did not happen as intended, or if more requests failed than may.
    pub(super) fn check(&self, most_failed: usize) {
        let client = self.client;
        for victim in &self.victims {
            let served = |tally: Tally| tally.shares().contains_key(victim);
            assert!(served(self.tally.sent(self.quiet..self.begun)), "{client} uses {victim} before the event");
            // A connection that is being established when the event ends may serve an earlier request.
            let unreachable = self.begun + Duration::from_secs(1)..self.ended - Duration::from_secs(5);
            assert!(!served(self.tally.sent(unreachable)), "{client} cannot reach {victim}");
        }
        assert!(self.tally.failed() <= most_failed, "{}", self.failures());
        assert!(self.victims.is_empty() || self.back().is_some(), "{client} uses all pods again");
    }

    /// One line for each failed request: when it was sent, counted from the beginning of the event, and why it failed.
    pub(super) fn failures(&self) -> String {
        let (client, all) = (self.client, self.tally.failures(self.begun));
        let lines = all.iter().map(|(at, reason)| format!("{client}: sent after {at:.3} s: {reason}\n"));
        format!("{client}: {} failed; unreachable: {:?}\n", all.len(), self.victims) + &lines.collect::<String>()
    }

    /// The requests that were sent more than two seconds after the beginning of the event.
    fn later(&self) -> Tally {
        self.tally.sent(self.begun + Duration::from_secs(2)..Instant::now())
    }

    /// How long after the event the first request was sent that a pod answered, the longest of all pods that had been
    /// unreachable. `None` if one of them answered none.
    fn back(&self) -> Option<Duration> {
        let after = self.tally.sent(self.ended..Instant::now());
        let first = |victim: &IpAddr| Some(after.span(*victim)?.0 - self.ended);
        self.victims.iter().map(first).try_fold(Duration::ZERO, |longest, first| Some(longest.max(first?)))
    }
}
