//! F2: a query for every search domain. The resolver remembers the name that answered.

use std::time::{Duration, Instant};

use discovery_core::refresh::RefreshSettings;
use discovery_testing::{FakeDns, Pod, QType, Service};
use tests::{ORDERS, figure, orders, question, within};

use crate::support::dns::{dns, dual_stack_pod, pod_with};

/// The forms of a name: the target, the queries until it first resolves, and the one query of each refresh.
const FORMS: [(&str, usize, &str, QType); 11] = [
    ("orders:80", 1, ORDERS, QType::A),
    // First as a pod of the own namespace, because libc does so.
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

/// A DNS server that knows every name of [`FORMS`].
async fn dns_with_all_forms() -> FakeDns {
    let dns = dns().await;
    dns.apply(orders(&["10.0.0.1"]));
    dns.apply(Service::headless("billing", "orders").port("http", 80).pod(Pod::new("10.0.0.2")));
    dns.apply(Service::headless("shop", "nginx").port("http", 80).pod(Pod::new("10.0.0.3").hostname("web-0")));
    dns.record("api.eu.example.com", "192.0.2.7");
    dns
}

/// F2.
#[tokio::test]
async fn refreshes_a_remembered_name_with_one_query() {
    const REFRESHES: usize = 10;
    const APART: Duration = Duration::from_millis(50);
    let settings = RefreshSettings::default().with_refresh(APART, Duration::from_secs(30)).unwrap();
    let form = |(target, cold, name, qtype): (&'static str, usize, &'static str, QType)| {
        let settings = settings.clone();
        async move {
            let dns = dns_with_all_forms().await;
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
            // Two queries in one refresh would arrive sooner.
            assert!(took >= APART * 10, "{target}: {took:?}");
            figure("F2: target, cold, 10 refreshes", (target, cold, refreshes.len()));
        }
    };
    futures_util::future::join_all(FORMS.map(form)).await;
}

/// F2.
#[tokio::test]
async fn queries_each_type_of_a_dual_stack_name_once() {
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

/// F2. A name without IPv6 costs an AAAA query at every 10th refresh only.
#[tokio::test]
async fn queries_an_absent_family_at_every_tenth_refresh() {
    let dns = dns().await;
    dns.apply(orders(&["10.0.0.1"]));
    let upstream = within("an answer", dual_stack_pod(&dns).resolve("orders:80")).await.unwrap();
    within("the third AAAA", dns.asked(question(ORDERS, QType::AAAA), 3)).await;
    drop(upstream);
    let (a, aaaa) = (dns.count(ORDERS, QType::A), dns.count(ORDERS, QType::AAAA));
    figure("F2: A, AAAA of a name without IPv6", (a, aaaa));
    assert!((20..=21).contains(&a), "{a}");
}

/// F2.
#[tokio::test]
async fn sends_no_query_for_an_address() {
    let dns = dns().await;
    let resolver = dual_stack_pod(&dns);
    for target in ["10.1.2.3:80", "[2001:db8::1]:80", "localhost:80"] {
        within("endpoints", resolver.resolve(target)).await.unwrap();
    }
    assert_eq!(dns.total(), 0, "{:?}", dns.questions());
}
