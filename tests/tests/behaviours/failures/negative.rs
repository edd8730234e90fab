//! F5: a "no" that is believed too long.

use std::time::{Duration, Instant};

use discovery_core::refresh::RefreshSettings;
use discovery_testing::{FakeDns, QType};
use tests::addrs;

use super::{ORDERS, figure, orders, pod_with, question, refusal, within};

/// With the default settings, and an SOA of 30 s as kubeadm has it.
#[tokio::test]
async fn f5_who_waits_finds_a_service_with_the_first_query_after_its_creation() {
    let dns = FakeDns::builder().ttl(30).start().await.unwrap();
    let resolver = pod_with(&dns, &[]).refresh(RefreshSettings::default()).build().unwrap();
    let begun = Instant::now();
    let upstream = resolver.upstream("orders:80").unwrap();
    assert!(within("a no", upstream.first_answer()).await.unwrap_err().is_not_found());

    let waiting = tokio::spawn({
        let upstream = upstream.clone();
        async move { upstream.ready().await }
    });
    within("2 s", dns.asked(question(ORDERS, QType::A), 3)).await;
    let asked_for = begun.elapsed();
    assert!(asked_for >= Duration::from_secs(2), "three queries within {asked_for:?}");

    dns.apply(orders(&["10.0.0.1"]));
    let created = Instant::now();
    within("the Service", waiting).await.unwrap().unwrap();
    let found = created.elapsed();
    assert_eq!(addrs(&upstream.endpoints()), ["10.0.0.1:80"]);
    assert_eq!(dns.count(ORDERS, QType::A), 4, "the first query after the creation finds it");
    figure("F5: found after its creation, SOA 30", found);
    figure("F5: four queries within", begun.elapsed());
    assert!(begun.elapsed() >= Duration::from_secs(3), "no more than one query per second");
    // The contract says 1 to 2 s.
    assert!(found < Duration::from_secs(8), "{found:?}");
}

/// A hundred who wait are not a hundred times the questions.
#[tokio::test]
async fn f5_many_who_wait_are_one_query_per_second() {
    let dns = FakeDns::builder().ttl(30).start().await.unwrap();
    let resolver = pod_with(&dns, &[]).refresh(RefreshSettings::default()).build().unwrap();
    let begun = Instant::now();
    let waiting: Vec<_> = (0..100)
        .map(|_| {
            let upstream = resolver.upstream("orders:80").unwrap();
            tokio::spawn(async move { upstream.ready().await })
        })
        .collect();
    within("1 s", dns.asked(|_| true, 2)).await;
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    dns.apply(orders(&["10.0.0.1"]));
    for one in waiting {
        within("the Service", one).await.unwrap().unwrap();
    }
    assert_eq!(dns.total(), 3);
}

/// The cap of 5 s holds whatever the SOA says; who only watches is told as well.
#[tokio::test]
async fn f5_nobody_has_to_wait_for_the_ttl_of_a_no() {
    let dns = FakeDns::builder().ttl(3600).start().await.unwrap();
    let resolver = pod_with(&dns, &[]).build().unwrap();
    assert!(refusal(&resolver, "orders:80").await.is_not_found());
    let upstream = resolver.upstream("orders:80").unwrap();
    let mut watch = upstream.watch();
    assert!(within("a no", watch.next()).await.is_empty());
    let begun = Instant::now();
    dns.apply(orders(&["10.0.0.1"]));
    assert_eq!(addrs(&*within("the Service", watch.next()).await), ["10.0.0.1:80"]);
    figure("F5: found without waiting, SOA 3600", begun.elapsed());
}

/// A headless Service whose pods are not ready does not exist in DNS; it is the same wait.
#[tokio::test]
async fn f5_the_first_ready_pod_ends_the_wait() {
    let dns = FakeDns::builder().ttl(30).start().await.unwrap();
    dns.apply(orders(&["10.0.0.1"]));
    dns.set_ready("shop", "orders", "10.0.0.1", false);
    let resolver = pod_with(&dns, &[]).build().unwrap();
    let upstream = resolver.upstream("orders:80").unwrap();
    assert!(within("a no", upstream.first_answer()).await.is_err());
    let ready = async {
        within("the next query", dns.asked(|_| true, 2)).await;
        dns.set_ready("shop", "orders", "10.0.0.1", true);
    };
    let (found, ()) = tokio::join!(within("the pod", upstream.ready()), ready);
    found.unwrap();
    assert_eq!(addrs(&upstream.endpoints()), ["10.0.0.1:80"]);
}
