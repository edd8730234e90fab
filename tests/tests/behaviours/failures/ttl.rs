//! F4: TTLs of nothing, next to nothing and for ever. F8: answers that differ in nothing but order and TTL.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use discovery_core::{context::Families, refresh::RefreshSettings};
use discovery_testing::{QType, Rule};
use futures_util::FutureExt as _;

use tests::brisk;

use super::{ORDERS, asked_again, dns, figure, orders, pod, pod_with, question, within};

/// With the default settings: this is where the floor of 1 s is shown.
#[tokio::test]
async fn f4_ttl_0_costs_at_most_one_query_per_second_and_type() {
    let dns = dns().await;
    dns.apply(orders(&["10.0.0.1", "fd00::1"]));
    let resolver = pod_with(&dns, &[]).families(Families::Both).refresh(RefreshSettings::default()).build().unwrap();
    let begun = Instant::now();
    let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
    within("four rounds", dns.asked(question(ORDERS, QType::A), 4)).await;
    let took = begun.elapsed();
    drop(upstream);
    let (a, aaaa) = (dns.count(ORDERS, QType::A), dns.count(ORDERS, QType::AAAA));
    figure("F4: A, AAAA, time at TTL 0", (a, aaaa, took));
    assert!(took >= Duration::from_secs(3), "{took:?}");
    assert!(a == 4 && aaaa <= 4, "{a} A, {aaaa} AAAA");
}

/// Asking soon, over and over, does not help.
#[tokio::test]
async fn f4_whoever_wants_an_answer_gets_one_a_second() {
    let dns = dns().await;
    dns.set_ttl(3600);
    dns.apply(orders(&["10.0.0.1"]));
    let resolver = pod_with(&dns, &[]).refresh(RefreshSettings::default()).build().unwrap();
    let begun = Instant::now();
    let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
    let impatient = async {
        loop {
            upstream.refresh();
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = impatient => {}
        () = within("three questions", dns.asked(|_| true, 3)) => {}
    }
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
}

/// Neither an overflow, nor a TTL of 0, nor an answer for ever: the longest pause is what is taken.
#[tokio::test]
async fn f4_absurd_ttls_are_clamped() {
    const MAX: Duration = Duration::from_millis(200);
    let refreshed = |ttl: u32| async move {
        let dns = dns().await;
        dns.apply(orders(&["10.0.0.1"]));
        dns.script(Rule::any().ttl(ttl));
        let settings = RefreshSettings::default().with_refresh(Duration::from_millis(10), MAX).unwrap();
        let resolver = pod_with(&dns, &[]).refresh(settings).build().unwrap();
        let begun = Instant::now();
        let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
        within("refreshes", dns.asked(|_| true, 5)).await;
        let took = begun.elapsed();
        drop(upstream);
        figure("F4: four refreshes with a TTL of", (ttl, took));
        // 80 % of the interval is the earliest.
        assert!(took >= MAX.mul_f64(0.8) * 4, "TTL {ttl}: {took:?}");
    };
    futures_util::future::join_all([u32::MAX, 1 << 31, i32::MAX as u32].map(refreshed)).await;
}

#[tokio::test]
async fn f4_an_absurd_ttl_of_a_no_does_not_hide_what_comes() {
    let dns = dns().await;
    dns.script(Rule::any().ttl(u32::MAX).times(1));
    let resolver = pod(&dns);
    let upstream = resolver.upstream("orders:80").unwrap();
    assert!(within("a no", upstream.first_answer()).await.unwrap_err().is_not_found());
    dns.apply(orders(&["10.0.0.1"]));
    tests::until(&upstream, "the Service", |set| set.len() == 1).await;
}

#[tokio::test]
async fn f8_another_order_or_ttl_is_no_change() {
    let dns = dns().await;
    dns.apply(orders(&["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "fd00::1", "fd00::2"]));
    let settings = brisk().with_refresh(Duration::from_millis(20), Duration::from_millis(30)).unwrap();
    let resolver = pod_with(&dns, &[]).families(Families::Both).refresh(settings).build().unwrap();
    let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
    // One family of the first answer may come early.
    tests::until(&upstream, "both families", |set| set.len() == 6).await;
    let mut watch = upstream.watch();
    let first = watch.next().await;
    for (seed, ttl) in (1..).zip([3600, 0, 7, 30, 0, u32::MAX, 1]) {
        dns.shuffle(seed);
        dns.set_ttl(ttl);
        asked_again(&dns, 6).await;
    }
    let rounds = dns.count(ORDERS, QType::A);
    assert_eq!(upstream.endpoints().version(), first.version());
    assert!(watch.next().now_or_never().is_none(), "nothing to be told");
    figure("F8: changes over rounds", (0, rounds));
}

/// Pools that take the first address of each answer all go to the same pod.
#[tokio::test]
async fn f8_the_first_pick_differs_from_process_to_process() {
    let dns = dns().await;
    dns.fixed_order();
    dns.set_ttl(30);
    dns.apply(orders(&["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]));
    let mut first = BTreeSet::new();
    for _ in 0..40 {
        let upstream = within("an answer", pod(&dns).resolve("orders:80")).await.unwrap();
        first.insert(upstream.pick().unwrap().endpoint().addr());
    }
    // All 40 on one of four, by chance: 1 in 10^23.
    assert!(first.len() > 1, "{first:?}");
}
