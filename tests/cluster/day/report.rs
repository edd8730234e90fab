//! The table in `docs/cluster.md`.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::IpAddr,
    time::{Duration, Instant},
};

use super::load::Tally;

/// When each pod changed, by its address.
#[derive(Clone, Debug, Default)]
pub(super) struct PodTimes {
    /// When the pod became ready, as the API reported it.
    pub(super) ready: BTreeMap<IpAddr, Instant>,
    /// When the pod's deletion began, as the API reported it.
    pub(super) terminating: BTreeMap<IpAddr, Instant>,
    /// When the Service's slices started to list the address as ready.
    pub(super) listed: BTreeMap<IpAddr, Instant>,
    /// When the Service's slices stopped to list the address as ready.
    pub(super) unlisted: BTreeMap<IpAddr, Instant>,
}

/// One scenario, with the results of every client.
pub(super) struct Scenario {
    pub(super) title: &'static str,
    pub(super) tallies: Vec<Tally>,
    pub(super) times: PodTimes,
    /// Whether the set of pods stayed the same, so that the share of each pod means something.
    pub(super) steady: bool,
}

/// The maximum over the pods, in milliseconds. With so few pods a 99th percentile would be the same.
fn longest(all: impl Iterator<Item = Duration>) -> String {
    all.max().map_or("-".to_owned(), |longest| format!("{} ms", longest.as_millis()))
}

impl Scenario {
    /// For each pod that became ready during the scenario: how long after that its first request was sent.
    pub(super) fn first_requests(&self, tally: &Tally) -> Vec<Duration> {
        let first = |(ip, ready): (&IpAddr, &Instant)| Some(tally.span(*ip)?.0.saturating_duration_since(*ready));
        self.times.ready.iter().filter_map(first).collect()
    }

    /// For each pod that terminated: how long after that its last request was sent.
    pub(super) fn last_requests(&self, tally: &Tally) -> Vec<Duration> {
        let last = |(ip, at): (&IpAddr, &Instant)| Some(tally.span(*ip)?.1.saturating_duration_since(*at));
        self.times.terminating.iter().filter_map(last).collect()
    }

    /// For each pod that became ready: how long after that the client knew its address.
    fn known(&self, tally: &Tally) -> Vec<Duration> {
        let known =
            |(ip, ready): (&IpAddr, &Instant)| Some(tally.known_from(*ip, *ready)?.saturating_duration_since(*ready));
        self.times.ready.iter().filter_map(known).collect()
    }

    /// For each pod that terminated: how long after that the client dropped its address.
    fn dropped(&self, tally: &Tally) -> Vec<Duration> {
        let dropped = |(ip, at): (&IpAddr, &Instant)| Some(tally.gone_from(*ip, *at)?.saturating_duration_since(*at));
        self.times.terminating.iter().filter_map(dropped).collect()
    }

    /// The scenario's rows of the table, one for each client.
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
                longest(self.dropped(tally).into_iter()),
                longest(self.last_requests(tally).into_iter()),
            )
            .unwrap();
        }
        rows
    }

    /// Asserts that our clients lost no request, except those in flight to a pod that was killed.
    pub(super) fn assert_no_losses(&self, clients: &[&str]) {
        for (client, tally) in clients.iter().zip(&self.tallies).filter(|(client, _)| client.starts_with("ours")) {
            let may_fail = if self.title.contains("killed") { 3 } else { 0 };
            assert!(tally.failed() <= may_fail, "{}: {client}: {:?}", self.title, tally.reasons());
        }
    }

    /// How far each client's endpoint set lags behind the slices, compared with another watch.
    pub(super) fn behind(&self, clients: &[&str]) -> String {
        let mut text = String::new();
        for (client, tally) in clients.iter().zip(&self.tallies).filter(|_| !self.steady) {
            let behind = |known: Option<Instant>, at: &Instant| Some(known?.saturating_duration_since(*at));
            // Look from a moment earlier on: the client may have learned of the change before the other watch.
            let early = |at: &Instant| at.checked_sub(Duration::from_millis(50)).unwrap_or(*at);
            let listed = self.times.listed.iter().filter_map(|(ip, at)| behind(tally.known_from(*ip, early(at)), at));
            let unlisted =
                self.times.unlisted.iter().filter_map(|(ip, at)| behind(tally.gone_from(*ip, early(at)), at));
            let all: Vec<Duration> = listed.chain(unlisted).collect();
            if !all.is_empty() {
                let changes = all.len();
                writeln!(
                    text,
                    "{}: {client}: at most {} behind the slices, over {changes} changes",
                    self.title,
                    longest(all.into_iter()),
                )
                .unwrap();
            }
        }
        text
    }

    /// The reasons for which requests failed, one line for each.
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

/// The smallest and the largest share of a pod, in percent.
fn spread(shares: &BTreeMap<IpAddr, usize>) -> String {
    let total: usize = shares.values().sum();
    let percent = |part: Option<&usize>| 100 * part.copied().unwrap_or(0) / total.max(1);
    format!("{}-{} % of {}", percent(shares.values().min()), percent(shares.values().max()), shares.len())
}
