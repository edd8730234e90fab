//! The table that the documentation shows.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{Duration, Instant},
};

use super::load::{Client, Tally};

/// When pods became ready, and when they began to go, as the API told it.
#[derive(Debug, Default)]
pub(super) struct Lives {
    pub(super) ready: BTreeMap<String, Instant>,
    pub(super) leaving: BTreeMap<String, Instant>,
}

/// One scenario, seen by each client.
pub(super) struct Scenario {
    pub(super) title: &'static str,
    pub(super) tallies: Vec<Tally>,
    pub(super) lives: Lives,
    /// Where the share of each pod means something: nobody came or went.
    pub(super) steady: bool,
}

/// Milliseconds; the largest over the pods, which with so few of them is what a 99th percentile would be.
fn longest(all: impl Iterator<Item = Duration>) -> String {
    all.max().map_or("-".to_owned(), |longest| format!("{} ms", longest.as_millis()))
}

impl Scenario {
    /// How long after a pod was ready its first request left; of the pods that became ready meanwhile.
    pub(super) fn first_requests(&self, tally: &Tally) -> Vec<Duration> {
        let first = |(pod, ready): (&String, &Instant)| Some(tally.span(pod)?.0.saturating_duration_since(*ready));
        self.lives.ready.iter().filter_map(first).collect()
    }

    /// How long after a pod began to go its last request left.
    pub(super) fn last_requests(&self, tally: &Tally) -> Vec<Duration> {
        let last = |(pod, leaving): (&String, &Instant)| Some(tally.span(pod)?.1.saturating_duration_since(*leaving));
        self.lives.leaving.iter().filter_map(last).collect()
    }

    pub(super) fn rows(&self, clients: &[Client]) -> String {
        let mut rows = String::new();
        for (client, tally) in clients.iter().zip(&self.tallies) {
            let (p50, p99) = (tally.quantile(0.5), tally.quantile(0.99));
            let share = if self.steady { spread(&tally.shares()) } else { "-".to_owned() };
            writeln!(
                rows,
                "| {} | {} | {} | {} | {:.1} / {:.1} ms | {} | {} | {share} |",
                self.title,
                client.name,
                tally.requests(),
                tally.failed(),
                p50.as_secs_f64() * 1e3,
                p99.as_secs_f64() * 1e3,
                longest(self.first_requests(tally).into_iter()),
                longest(self.last_requests(tally).into_iter()),
            )
            .unwrap();
        }
        rows
    }

    /// Why requests failed, for those who read along.
    pub(super) fn reasons(&self, clients: &[Client]) -> String {
        let mut text = String::new();
        for (client, tally) in clients.iter().zip(&self.tallies) {
            for (reason, times) in tally.reasons() {
                writeln!(text, "{}: {}: {times} x {reason}", self.title, client.name).unwrap();
            }
        }
        text
    }
}

/// The least and the most of the pods, in percent.
fn spread(shares: &BTreeMap<&str, usize>) -> String {
    let total: usize = shares.values().sum();
    let percent = |part: Option<&usize>| 100 * part.copied().unwrap_or(0) / total.max(1);
    format!("{}-{} % of {}", percent(shares.values().min()), percent(shares.values().max()), shares.len())
}
