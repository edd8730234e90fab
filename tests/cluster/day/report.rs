//! The table that the documentation shows.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::IpAddr,
    time::{Duration, Instant},
};

use super::load::Tally;

/// When pods became ready, and when they began to go, as the API told it.
#[derive(Clone, Debug, Default)]
pub(super) struct Lives {
    pub(super) ready: BTreeMap<IpAddr, Instant>,
    pub(super) leaving: BTreeMap<IpAddr, Instant>,
    /// When the Service's slices began to list an address as ready, and ceased.
    pub(super) listed: BTreeMap<IpAddr, Instant>,
    pub(super) unlisted: BTreeMap<IpAddr, Instant>,
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
        let first = |(ip, ready): (&IpAddr, &Instant)| Some(tally.span(*ip)?.0.saturating_duration_since(*ready));
        self.lives.ready.iter().filter_map(first).collect()
    }

    /// How long after a pod began to go its last request left.
    pub(super) fn last_requests(&self, tally: &Tally) -> Vec<Duration> {
        let last = |(ip, leaving): (&IpAddr, &Instant)| Some(tally.span(*ip)?.1.saturating_duration_since(*leaving));
        self.lives.leaving.iter().filter_map(last).collect()
    }

    fn known(&self, tally: &Tally) -> Vec<Duration> {
        let known =
            |(ip, ready): (&IpAddr, &Instant)| Some(tally.known_from(*ip, *ready)?.saturating_duration_since(*ready));
        self.lives.ready.iter().filter_map(known).collect()
    }

    fn unknown(&self, tally: &Tally) -> Vec<Duration> {
        let gone = |(ip, leaving): (&IpAddr, &Instant)| {
            Some(tally.gone_from(*ip, *leaving)?.saturating_duration_since(*leaving))
        };
        self.lives.leaving.iter().filter_map(gone).collect()
    }

    pub(super) fn rows(&self, clients: &[&str]) -> String {
        let mut rows = String::new();
        for (client, tally) in clients.iter().zip(&self.tallies) {
            let (p50, p99) = (tally.quantile(0.5), tally.quantile(0.99));
            let share = if self.steady { spread(&tally.shares()) } else { "-".to_owned() };
            writeln!(
                rows,
                "| {} | {} | {} | {} | {:.1} / {:.1} ms | {} | {} | {} | {} | {share} |",
                self.title,
                client,
                tally.requests(),
                tally.failed(),
                p50.as_secs_f64() * 1e3,
                p99.as_secs_f64() * 1e3,
                longest(self.known(tally).into_iter()),
                longest(self.first_requests(tally).into_iter()),
                longest(self.unknown(tally).into_iter()),
                longest(self.last_requests(tally).into_iter()),
            )
            .unwrap();
        }
        rows
    }

    /// What is promised of our clients: no failed request, but for what is under way with a pod that is killed.
    pub(super) fn is_as_promised(&self, clients: &[&str]) {
        for (client, tally) in clients.iter().zip(&self.tallies).filter(|(client, _)| client.starts_with("ours")) {
            let may_fail = if self.title.contains("killed") { 3 } else { 0 };
            assert!(tally.failed() <= may_fail, "{}: {client}: {:?}", self.title, tally.reasons());
        }
    }

    /// How long a client's set is behind the slices as another watch sees them.
    pub(super) fn behind(&self, clients: &[&str]) -> String {
        let mut text = String::new();
        for (client, tally) in clients.iter().zip(&self.tallies).filter(|_| !self.steady) {
            let behind = |known: Option<Instant>, at: &Instant| Some(known?.saturating_duration_since(*at));
            // A moment earlier: it may be the first to hear.
            let early = |at: &Instant| at.checked_sub(Duration::from_millis(50)).unwrap_or(*at);
            let listed = self.lives.listed.iter().filter_map(|(ip, at)| behind(tally.known_from(*ip, early(at)), at));
            let unlisted =
                self.lives.unlisted.iter().filter_map(|(ip, at)| behind(tally.gone_from(*ip, early(at)), at));
            let all: Vec<Duration> = listed.chain(unlisted).collect();
            if !all.is_empty() {
                let changes = all.len();
                writeln!(
                    text,
                    "{}: {client}: {changes} changes, at most {} behind the slices",
                    self.title,
                    longest(all.into_iter())
                )
                .unwrap();
            }
        }
        text
    }

    /// Why requests failed, for those who read along.
    pub(super) fn reasons(&self, clients: &[&str]) -> String {
        let mut text = String::new();
        for (client, tally) in clients.iter().zip(&self.tallies) {
            for (reason, times) in tally.reasons() {
                writeln!(text, "{}: {}: {times} x {reason}", self.title, client).unwrap();
            }
        }
        text
    }
}

/// The least and the most of the pods, in percent.
fn spread(shares: &BTreeMap<IpAddr, usize>) -> String {
    let total: usize = shares.values().sum();
    let percent = |part: Option<&usize>| 100 * part.copied().unwrap_or(0) / total.max(1);
    format!("{}-{} % of {}", percent(shares.values().min()), percent(shares.values().max()), shares.len())
}
