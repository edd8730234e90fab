//! F4: TTLs of zero, of almost zero and of decades. F8: answers that differ only in order and TTL.

use std::time::{Duration, Instant};

use discovery_core::{context::Families, refresh::RefreshSettings};
use discovery_testing::{QType, Rule};
use futures_util::{FutureExt as _, future::join_all};
use tests::{ORDERS, brisk, figure, orders, question, until, within};

use crate::support::dns::{asked_again, dns, pod, pod_with};

/// F4. With the default settings, whose floor is 1 s.
#[tokio::test]
async fn ttl_0_costs_at_most_one_query_per_second_and_type() {
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

/// F4. Calling `refresh` in a loop does not lead to more queries.
#[tokio::test]
async fn refresh_calls_cost_at_most_one_query_per_second() {
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
        () = within("three queries", dns.asked(|_| true, 3)) => {}
    }
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
}

/// F4. An absurd TTL neither overflows, nor counts as 0, nor lasts for decades: it counts as the longest interval.
#[tokio::test]
async fn clamps_absurd_ttls() {
    const MAX: Duration = Duration::from_millis(200);
    let refreshed = |ttl: u32| async move {
        let dns = dns().await;
        dns.apply(orders(&["10.0.0.1"]));
        dns.script(Rule::any().ttl(ttl));
        let settings = RefreshSettings::default().with_refresh(Duration::from_millis(10), MAX).unwrap();
        let resolver = pod_with(&dns, &[]).refresh(settings).build().unwrap();
        let begun = Instant::now();
        let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
        within("refreshes", dns.asked(|_| true, 6)).await;
        let took = begun.elapsed();
        drop(upstream);
        figure("F4: five refreshes with a TTL of", (ttl, took));
        // The first refresh comes after 10 % of the interval at the earliest, each later one after 80 %.
        assert!(took >= MAX.mul_f64(0.1 + 4.0 * 0.8), "TTL {ttl}: {took:?}");
    };
    join_all([u32::MAX, 1 << 31, i32::MAX as u32].map(refreshed)).await;
}

/// F4.
#[tokio::test]
async fn an_absurd_negative_ttl_does_not_hide_a_new_service() {
    let dns = dns().await;
    dns.script(Rule::any().ttl(u32::MAX).times(1));
    let resolver = pod(&dns);
    let upstream = resolver.upstream("orders:80").unwrap();
    assert!(within("a negative answer", upstream.first_answer()).await.unwrap_err().is_not_found());
    dns.apply(orders(&["10.0.0.1"]));
    until(&upstream, "the Service", |set| set.len() == 1).await;
}

/// F8.
#[tokio::test]
async fn a_different_order_or_ttl_is_not_a_change() {
    let dns = dns().await;
    dns.apply(orders(&["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "fd00::1", "fd00::2"]));
    let settings = brisk().with_refresh(Duration::from_millis(20), Duration::from_millis(30)).unwrap();
    let resolver = pod_with(&dns, &[]).families(Families::Both).refresh(settings).build().unwrap();
    let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
    // The first answer may come with one family only.
    until(&upstream, "both families", |set| set.len() == 6).await;
    let mut watch = upstream.watch();
    let first = watch.next().await;
    for (seed, ttl) in (1..).zip([3600, 0, 7, 30, 0, u32::MAX, 1]) {
        dns.shuffle(seed);
        dns.set_ttl(ttl);
        asked_again(&dns, 6).await;
    }
    let rounds = dns.count(ORDERS, QType::A);
    assert_eq!(upstream.endpoints().version(), first.version());
    assert!(watch.next().now_or_never().is_none(), "no new set");
    figure("F8: changes over rounds", (0, rounds));
}
