//! F10: replicas of the DNS server that disagree for a moment.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use discovery_core::endpoint::EndpointSet;
use futures_util::FutureExt as _;
use tests::{brisk, figure, ips, orders, until, within};

use crate::support::dns::{asked_again, dns, pod_with};

const HOLD: Duration = Duration::from_millis(500);
const OLD: [&str; 2] = ["10.0.0.1", "10.0.0.2"];
const NEW: [&str; 2] = ["10.0.0.2", "10.0.0.3"];

/// How often each address was added and removed.
#[derive(Debug, Default)]
struct Moves {
    added: BTreeMap<String, usize>,
    removed: BTreeMap<String, usize>,
}

impl Moves {
    fn record(&mut self, before: &EndpointSet, after: &EndpointSet) {
        let (before, after) = (ips(before), ips(after));
        for ip in after.iter().filter(|ip| !before.contains(ip)) {
            *self.added.entry(ip.clone()).or_default() += 1;
        }
        for ip in before.iter().filter(|ip| !after.contains(ip)) {
            *self.removed.entry(ip.clone()).or_default() += 1;
        }
    }

    fn most(&self) -> usize {
        self.added.values().chain(self.removed.values()).copied().max().unwrap_or(0)
    }
}

/// F10.
#[tokio::test]
async fn alternating_answers_move_an_address_at_most_once_per_hold_time() {
    let dns = dns().await;
    dns.apply(orders(&OLD));
    let resolver = pod_with(&dns, &[]).refresh(brisk().with_removal_hold(HOLD)).build().unwrap();
    let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
    let mut watch = upstream.watch();
    let mut shown = watch.next().await;
    let moves = Arc::new(Mutex::new(Moves::default()));
    let watching = tokio::spawn({
        let moves = moves.clone();
        async move {
            loop {
                let next = watch.next().await;
                moves.lock().unwrap().record(&shown, &next);
                shown = next;
            }
        }
    });

    let begun = Instant::now();
    let (mut answers, mut other) = (0, true);
    while begun.elapsed() < Duration::from_secs(2) {
        dns.apply(orders(if other { &NEW } else { &OLD }));
        other = !other;
        asked_again(&dns, 1).await;
        answers += 1;
    }
    let holds = usize::try_from(begun.elapsed().as_millis() / HOLD.as_millis()).unwrap() + 1;
    {
        let moves = moves.lock().unwrap();
        figure("F10: alternating answers, hold times, moves", (answers, holds, &*moves));
        assert!(answers > 20, "{answers}");
        assert!(moves.most() <= holds, "{moves:?}");
        assert_eq!(moves.added.get("10.0.0.3"), Some(&1), "added with the first answer that had it");
    }
    watching.abort();

    // Then the replicas agree.
    dns.apply(orders(&NEW));
    until(&upstream, "the new set", |set| ips(set) == NEW).await;
}

/// F10.
#[tokio::test]
async fn publishes_an_addition_at_once() {
    let dns = dns().await;
    dns.apply(orders(&OLD));
    let resolver = pod_with(&dns, &[]).refresh(brisk().with_removal_hold(Duration::from_secs(3600))).build().unwrap();
    let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
    dns.forget();
    dns.apply(orders(&NEW));
    until(&upstream, "the addition", |set| ips(set) == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]).await;
    assert_eq!(dns.total(), 1, "with the first answer that has it");
}

/// F10. Only an answer after the hold time confirms a removal.
#[tokio::test]
async fn removes_an_address_only_after_a_confirming_answer() {
    let dns = dns().await;
    dns.apply(orders(&OLD));
    let resolver = pod_with(&dns, &[]).refresh(brisk().with_removal_hold(HOLD)).build().unwrap();
    let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
    let mut watch = upstream.watch();
    watch.next().await;
    dns.forget();
    dns.remove_pod("shop", "orders", "10.0.0.1");
    within("the first answer without", dns.asked(|_| true, 1)).await;
    let begun = Instant::now();
    assert!(watch.next().now_or_never().is_none());
    assert_eq!(ips(&*within("the removal", watch.next()).await), ["10.0.0.2"]);
    let took = begun.elapsed();
    figure("F10: removal with a hold of 500 ms", (took, dns.total()));
    assert!(took >= HOLD.mul_f64(0.95), "{took:?}");
    assert!(dns.total() >= 2);
}
