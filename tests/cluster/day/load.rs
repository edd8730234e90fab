//! Constant load: requests leave at fixed times, whether or not earlier ones were answered.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::Range,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use discovery_core::Upstream;
use futures_util::future::BoxFuture;
use tokio::task::JoinSet;

/// The time between two requests of one client.
const PACE: Duration = Duration::from_millis(10);

/// A client: one way to send a request, which returns the address of the pod that answered.
#[derive(Clone)]
pub(super) struct LoadClient {
    pub(super) name: &'static str,
    pub(super) send: Arc<dyn Fn() -> BoxFuture<'static, Result<IpAddr, String>> + Send + Sync>,
    /// The upstream whose endpoint changes are recorded; `None` for a client that does not show its endpoints.
    pub(super) upstream: Option<Upstream>,
}

/// The results of one client's requests.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// When each answered request left, how long it took, and which pod answered.
    answered: Vec<(Instant, Duration, IpAddr)>,
    /// When each failed request left, and why it failed.
    failed: Vec<(Instant, String)>,
    /// Each set of addresses that the client knew, with the time from which it knew it.
    known: Vec<(Instant, BTreeSet<IpAddr>)>,
}

/// Sends requests with each client until `scenario` completes; returns its result and the tallies.
pub(super) async fn during<T>(clients: &[LoadClient], scenario: impl Future<Output = T>) -> (T, Vec<Tally>) {
    let tallies: Vec<Arc<Mutex<Tally>>> = clients.iter().map(|_| Arc::default()).collect();
    let mut senders = JoinSet::new();
    for (client, tally) in clients.iter().zip(&tallies) {
        senders.spawn(send_steadily(client.clone(), tally.clone()));
        if let Some(upstream) = client.upstream.clone() {
            senders.spawn(follow(upstream, tally.clone()));
        }
    }
    let result = scenario.await;
    // Requests in flight still count.
    senders.abort_all();
    while senders.join_next().await.is_some() {}
    tokio::time::sleep(IN_FLIGHT).await;
    let taken = tallies.iter().map(|tally| std::mem::take(&mut *tally.lock().unwrap())).collect();
    (result, taken)
}

/// The longest time that a request in flight may take: the clients' timeout and some more.
pub(super) const IN_FLIGHT: Duration = Duration::from_millis(2500);

async fn follow(upstream: Upstream, tally: Arc<Mutex<Tally>>) {
    let mut watch = upstream.watch();
    loop {
        let set = watch.next().await;
        let ips = set.iter().map(|endpoint| endpoint.addr().ip()).collect();
        tally.lock().unwrap().known.push((Instant::now(), ips));
    }
}

async fn send_steadily(client: LoadClient, tally: Arc<Mutex<Tally>>) {
    let mut ticks = tokio::time::interval(PACE);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    loop {
        ticks.tick().await;
        let (send, tally) = (client.send.clone(), tally.clone());
        // A task outside of the set, so that a request continues when its sender is stopped.
        tokio::spawn(async move {
            let sent = Instant::now();
            let result = send().await;
            let took = sent.elapsed();
            let mut tally = tally.lock().unwrap();
            match result {
                Ok(pod) => tally.answered.push((sent, took, pod)),
                Err(error) => tally.failed.push((sent, error)),
            }
        });
    }
}

impl Tally {
    pub(super) fn requests(&self) -> usize {
        self.answered.len() + self.failed.len()
    }

    pub(super) fn failed(&self) -> usize {
        self.failed.len()
    }

    /// Each reason for failure, with the number of requests that failed for it.
    pub(super) fn reasons(&self) -> BTreeMap<&str, usize> {
        let mut reasons = BTreeMap::new();
        for (_, reason) in &self.failed {
            *reasons.entry(reason.as_str()).or_default() += 1;
        }
        reasons
    }

    /// The latency below which this fraction of the answered requests stays.
    pub(super) fn quantile(&self, fraction: f64) -> Duration {
        let mut all: Vec<Duration> = self.answered.iter().map(|(_, took, _)| *took).collect();
        all.sort();
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "few")]
        let at = (all.len() as f64 * fraction) as usize;
        all.get(at.min(all.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    /// The longest time that an answered request took.
    pub(super) fn slowest(&self) -> Duration {
        self.answered.iter().map(|(_, took, _)| *took).max().unwrap_or_default()
    }

    /// The requests that were sent in this time; without the endpoint changes.
    pub(super) fn sent(&self, during: Range<Instant>) -> Self {
        Self {
            answered: self.answered.iter().filter(|(sent, ..)| during.contains(sent)).copied().collect(),
            failed: self.failed.iter().filter(|(sent, _)| during.contains(sent)).cloned().collect(),
            known: Vec::new(),
        }
    }

    /// When each failed request was sent, after `since` (negative before it), and why it failed.
    pub(super) fn failures(&self, since: Instant) -> Vec<(f64, &str)> {
        let after = |at: Instant| match at.checked_duration_since(since) {
            Some(after) => after.as_secs_f64(),
            None => -(since - at).as_secs_f64(),
        };
        self.failed.iter().map(|(sent, reason)| (after(*sent), reason.as_str())).collect()
    }

    /// When the first and the last request that this pod answered were sent.
    pub(super) fn span(&self, pod: IpAddr) -> Option<(Instant, Instant)> {
        let of_pod = || self.answered.iter().filter(move |(_, _, by)| *by == pod).map(|(sent, ..)| *sent);
        Some((of_pod().min()?, of_pod().max()?))
    }

    /// When the client first knew this address, after `since`.
    pub(super) fn known_from(&self, ip: IpAddr, since: Instant) -> Option<Instant> {
        let mut later = self.known.iter().filter(|(at, ips)| *at >= since && ips.contains(&ip));
        later.next().map(|(at, _)| *at)
    }

    /// When the client first no longer knew this address, after `since`.
    pub(super) fn gone_from(&self, ip: IpAddr, since: Instant) -> Option<Instant> {
        let mut later = self.known.iter().filter(|(at, ips)| *at >= since && !ips.contains(&ip));
        later.next().map(|(at, _)| *at)
    }

    /// The number of requests that each pod answered.
    pub(super) fn shares(&self) -> BTreeMap<IpAddr, usize> {
        let mut shares = BTreeMap::new();
        for (_, _, pod) in &self.answered {
            *shares.entry(*pod).or_default() += 1;
        }
        shares
    }
}
