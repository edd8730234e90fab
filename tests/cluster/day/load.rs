//! Constant load: requests leave at fixed times, whatever becomes of those before.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use discovery_core::Upstream;
use futures_util::future::BoxFuture;
use tokio::task::JoinSet;

/// Between two requests of one client.
const PACE: Duration = Duration::from_millis(10);

/// One way to send a request; the answer is the address of the pod.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) name: &'static str,
    pub(super) send: Arc<dyn Fn() -> BoxFuture<'static, Result<IpAddr, String>> + Send + Sync>,
    /// Whose endpoints it follows, if it tells.
    pub(super) upstream: Option<Upstream>,
}

/// What became of the requests of one client.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// When each answered request left, how long it took, and which pod it was.
    answered: Vec<(Instant, Duration, IpAddr)>,
    /// When each failed request left, and why it failed.
    failed: Vec<(Instant, String)>,
    /// The sets of addresses that it has known, each from when on.
    known: Vec<(Instant, BTreeSet<IpAddr>)>,
}

/// Sends with each client until `scenario` is over; returns its result and what became of the requests.
pub(super) async fn during<T>(clients: &[Client], scenario: impl Future<Output = T>) -> (T, Vec<Tally>) {
    let tallies: Vec<Arc<Mutex<Tally>>> = clients.iter().map(|_| Arc::default()).collect();
    let mut senders = JoinSet::new();
    for (client, tally) in clients.iter().zip(&tallies) {
        senders.spawn(send_steadily(client.clone(), tally.clone()));
        if let Some(upstream) = client.upstream.clone() {
            senders.spawn(follow(upstream, tally.clone()));
        }
    }
    let result = scenario.await;
    // What is still under way counts, too.
    senders.abort_all();
    while senders.join_next().await.is_some() {}
    tokio::time::sleep(LAST).await;
    let taken = tallies.iter().map(|tally| std::mem::take(&mut *tally.lock().unwrap())).collect();
    (result, taken)
}

/// A request that has left may take so long.
pub(super) const LAST: Duration = Duration::from_millis(2500);

async fn follow(upstream: Upstream, tally: Arc<Mutex<Tally>>) {
    let mut watch = upstream.watch();
    loop {
        let set = watch.next().await;
        let ips = set.iter().map(|endpoint| endpoint.addr().ip()).collect();
        tally.lock().unwrap().known.push((Instant::now(), ips));
    }
}

async fn send_steadily(client: Client, tally: Arc<Mutex<Tally>>) {
    let mut ticks = tokio::time::interval(PACE);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    loop {
        ticks.tick().await;
        let (send, tally) = (client.send.clone(), tally.clone());
        // Not in the set: it goes on when the sender is stopped.
        tokio::spawn(async move {
            let left = Instant::now();
            let result = send().await;
            let took = left.elapsed();
            let mut tally = tally.lock().unwrap();
            match result {
                Ok(pod) => tally.answered.push((left, took, pod)),
                Err(error) => tally.failed.push((left, error)),
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

    /// Each reason once, with how often it occurred.
    pub(super) fn reasons(&self) -> BTreeMap<&str, usize> {
        let mut reasons = BTreeMap::new();
        for (_, reason) in &self.failed {
            *reasons.entry(reason.as_str()).or_default() += 1;
        }
        reasons
    }

    /// The latency that this part of the answered requests stays below.
    pub(super) fn quantile(&self, part: f64) -> Duration {
        let mut all: Vec<Duration> = self.answered.iter().map(|(_, took, _)| *took).collect();
        all.sort();
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "few")]
        let at = (all.len() as f64 * part) as usize;
        all.get(at.min(all.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    /// When the pod's first and last request left.
    pub(super) fn span(&self, pod: IpAddr) -> Option<(Instant, Instant)> {
        let of_pod = || self.answered.iter().filter(move |(_, _, by)| *by == pod).map(|(left, ..)| *left);
        Some((of_pod().min()?, of_pod().max()?))
    }

    /// When this address was known first, after `since`.
    pub(super) fn known_from(&self, ip: IpAddr, since: Instant) -> Option<Instant> {
        let mut later = self.known.iter().filter(|(at, ips)| *at >= since && ips.contains(&ip));
        later.next().map(|(at, _)| *at)
    }

    /// When this address was known no more, after `since`.
    pub(super) fn gone_from(&self, ip: IpAddr, since: Instant) -> Option<Instant> {
        let mut later = self.known.iter().filter(|(at, ips)| *at >= since && !ips.contains(&ip));
        later.next().map(|(at, _)| *at)
    }

    /// Requests of each pod.
    pub(super) fn shares(&self) -> BTreeMap<IpAddr, usize> {
        let mut shares = BTreeMap::new();
        for (_, _, pod) in &self.answered {
            *shares.entry(*pod).or_default() += 1;
        }
        shares
    }
}
