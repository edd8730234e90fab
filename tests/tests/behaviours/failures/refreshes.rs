//! F2: a question for every search domain. F3: an answer that is believed for ever.

use std::time::{Duration, Instant};

use discovery_core::refresh::RefreshSettings;
use discovery_testing::{Asked, FakeDns, Pod, QType, Service};
use tests::until;

use super::{ORDERS, dns, dual_stack_pod, figure, orders, pod, pod_with, question, within};

/// The forms of a name: the target, the questions until it is found for the first time, and the one question
/// of each refresh.
const FORMS: [(&str, usize, &str, QType); 11] = [
    ("orders:80", 1, ORDERS, QType::A),
    // As a pod of the own namespace first, because that is what libc does.
    ("orders.billing:80", 2, "orders.billing.svc.cluster.local", QType::A),
    ("web-0.nginx:80", 1, "web-0.nginx.shop.svc.cluster.local", QType::A),
    ("orders.billing.svc:80", 1, "orders.billing.svc.cluster.local", QType::A),
    ("orders.billing.svc.cluster.local:80", 1, "orders.billing.svc.cluster.local", QType::A),
    ("orders.billing.svc.cluster.local.:80", 1, "orders.billing.svc.cluster.local", QType::A),
    ("web-0.nginx.shop.svc.cluster.local:80", 1, "web-0.nginx.shop.svc.cluster.local", QType::A),
    ("_http._tcp.orders", 1, "_http._tcp.orders.shop.svc.cluster.local", QType::SRV),
    ("_http._tcp.orders.billing.svc", 1, "_http._tcp.orders.billing.svc.cluster.local", QType::SRV),
    ("http://orders.billing.svc:8080/eureka", 1, "orders.billing.svc.cluster.local", QType::A),
    ("api.eu.example.com:443", 1, "api.eu.example.com", QType::A),
];

/// One after the other, each with a DNS server of its own.
async fn names() -> FakeDns {
    let dns = dns().await;
    dns.apply(orders(&["10.0.0.1"]));
    dns.apply(Service::headless("billing", "orders").port("http", 80).pod(Pod::new("10.0.0.2")));
    dns.apply(Service::headless("shop", "nginx").port("http", 80).pod(Pod::new("10.0.0.3").hostname("web-0")));
    dns.record("api.eu.example.com", "192.0.2.7");
    dns
}

#[tokio::test]
async fn f2_a_refresh_of_a_remembered_name_is_exactly_one_query() {
    const REFRESHES: usize = 10;
    const APART: Duration = Duration::from_millis(50);
    let settings = RefreshSettings::default().with_refresh(APART, Duration::from_secs(30)).unwrap();
    let form = |(target, cold, name, qtype): (&'static str, usize, &'static str, QType)| {
        let settings = settings.clone();
        async move {
            let dns = names().await;
            let resolver = pod_with(&dns, &[]).refresh(settings).build().unwrap();
            let begun = Instant::now();
            let upstream = within("an answer", resolver.resolve(target)).await.unwrap();
            assert_eq!(dns.total(), cold, "{target}, cold: {:?}", dns.questions());
            within("refreshes", dns.asked(question(name, qtype), 1 + REFRESHES)).await;
            let took = begun.elapsed();
            drop(upstream);
            let refreshes = &dns.questions()[cold..];
            assert!(refreshes.iter().all(question(name, qtype)), "{target}: {refreshes:?}");
            assert_eq!(refreshes.len(), REFRESHES, "{target}");
            // Two queries in one refresh would have come sooner.
            assert!(took >= APART * 10, "{target}: {took:?}");
            figure("F2: target, cold, 10 refreshes", (target, cold, refreshes.len()));
        }
    };
    futures_util::future::join_all(FORMS.map(form)).await;
}

#[tokio::test]
async fn f2_a_dual_stack_name_is_one_query_of_each_type() {
    let dns = dns().await;
    dns.apply(orders(&["10.0.0.1", "fd00::1"]));
    let upstream = within("an answer", dual_stack_pod(&dns).resolve("orders:80")).await.unwrap();
    assert_eq!(dns.total(), 2, "{:?}", dns.questions());
    within("10 refreshes", dns.asked(|_| true, 22)).await;
    drop(upstream);
    let questions = dns.questions();
    for round in questions.chunks(2) {
        assert!(round.iter().all(|asked| asked.name.trim_end_matches('.') == ORDERS), "{round:?}");
        assert_ne!(round[0].qtype, round[1].qtype, "{questions:?}");
    }
    assert_eq!(questions.len(), 22);
}

/// Section 5 of the contract: AAAA is asked again every 10th refresh where there is none.
#[tokio::test]
async fn f2_a_family_without_addresses_is_asked_every_tenth_time() {
    let dns = dns().await;
    dns.apply(orders(&["10.0.0.1"]));
    let upstream = within("an answer", dual_stack_pod(&dns).resolve("orders:80")).await.unwrap();
    within("the third AAAA", dns.asked(question(ORDERS, QType::AAAA), 3)).await;
    drop(upstream);
    let (a, aaaa) = (dns.count(ORDERS, QType::A), dns.count(ORDERS, QType::AAAA));
    figure("F2: A, AAAA of a name without IPv6", (a, aaaa));
    assert!((20..=21).contains(&a), "{a}");
}

#[tokio::test]
async fn f2_an_address_is_not_asked_for() {
    let dns = dns().await;
    let resolver = dual_stack_pod(&dns);
    for target in ["10.1.2.3:80", "[2001:db8::1]:80", "localhost:80"] {
        within("endpoints", resolver.resolve(target)).await.unwrap();
    }
    assert_eq!(dns.total(), 0, "{:?}", dns.questions());
}

/// The first query after the change shows it, and that query comes of itself when the TTL of 1 s is over.
#[tokio::test]
async fn f3_an_added_pod_is_seen_by_the_next_refresh_without_any_failure() {
    let dns = FakeDns::builder().ttl(1).start().await.unwrap();
    dns.apply(orders(&["10.0.0.1"]));
    let resolver = pod_with(&dns, &[]).refresh(RefreshSettings::default()).build().unwrap();
    let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
    upstream.pick().unwrap().complete(discovery_core::policy::Outcome::Success, Instant::now());

    dns.forget();
    dns.add_pod("shop", "orders", Pod::new("10.0.0.2"));
    let added = Instant::now();
    until(&upstream, "the added pod", |set| set.len() == 2).await;
    figure("F3: added pod seen, TTL 1 s", added.elapsed());
    assert_eq!(dns.total(), 1, "{:?}", dns.questions());
    // The contract says TTL + 1 s.
    assert!(added.elapsed() < Duration::from_secs(6), "{:?}", added.elapsed());
}

#[tokio::test]
async fn f3_a_long_ttl_is_bounded_by_max_refresh() {
    let dns = FakeDns::builder().ttl(3600).start().await.unwrap();
    dns.apply(orders(&["10.0.0.1"]));
    let (min, max) = (Duration::from_millis(20), Duration::from_millis(100));
    let settings = RefreshSettings::default().with_refresh(min, max).unwrap();
    let resolver = pod_with(&dns, &[]).refresh(settings).build().unwrap();
    let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
    dns.forget();
    dns.add_pod("shop", "orders", Pod::new("10.0.0.2"));
    until(&upstream, "the added pod", |set| set.len() == 2).await;
    assert_eq!(dns.total(), 1);
}

/// Requests that go well are no reason to ask, and not asking is no reason to keep.
#[tokio::test]
async fn f3_a_removed_pod_is_seen_without_any_failure() {
    let dns = dns().await;
    dns.apply(orders(&["10.0.0.1", "10.0.0.2"]));
    let upstream = within("an answer", pod(&dns).resolve("orders:80")).await.unwrap();
    dns.remove_pod("shop", "orders", "10.0.0.1");
    until(&upstream, "the removal", |set| super::ips(set) == ["10.0.0.2"]).await;
    assert!(dns.questions().iter().all(|asked: &Asked| !asked.dropped));
}
