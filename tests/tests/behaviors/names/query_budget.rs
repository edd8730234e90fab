//! How many queries each form of a name costs: at the first lookup and at each refresh.
//!
//! The resolver refreshes only where a test says so. Over TCP it retransmits nothing, so that every query counts. Over
//! UDP a query that repeats the one before it within a round may be a retransmission.

use std::{collections::BTreeMap, time::Duration};

use discovery_core::{Resolver, Upstream, plan::Families, refresh::RefreshSettings};
use discovery_testing::{FakeDns, Pod, QType, Service};
use tests::{addrs, in_pod_with, next_round, within};

const A: &[QType] = &[QType::A];
const BOTH: &[QType] = &[QType::A, QType::AAAA];
const SRV: &[QType] = &[QType::SRV];

/// A form of a name, the names that are denied at first, and the name that answers from then on.
struct NameForm {
    target: &'static str,
    denied: &'static [&'static str],
    name: &'static str,
    srv: bool,
}

const fn row(target: &'static str, denied: &'static [&'static str], name: &'static str) -> NameForm {
    NameForm { target, denied, name, srv: false }
}

const fn srv(target: &'static str, denied: &'static [&'static str], name: &'static str) -> NameForm {
    NameForm { target, denied, name, srv: true }
}

/// The own namespace is `shop`. A name of two labels costs a second query once, because a pod of an own Service comes
/// first, as in libc. So does a host of three labels, which may be a pod.
const TABLE: &[NameForm] = &[
    row("my-service:80", &[], "my-service.shop.svc.cluster.local."),
    row("my-service", &[], "my-service.shop.svc.cluster.local."),
    row("my-service.my-ns:80", &["my-service.my-ns.shop.svc.cluster.local."], "my-service.my-ns.svc.cluster.local."),
    row("web-0.nginx:80", &[], "web-0.nginx.shop.svc.cluster.local."),
    row("my-service.my-ns.svc:80", &[], "my-service.my-ns.svc.cluster.local."),
    row("my-service.my-ns.svc.cluster.local:80", &[], "my-service.my-ns.svc.cluster.local."),
    row("my-service.my-ns.svc.cluster.local.:80", &[], "my-service.my-ns.svc.cluster.local."),
    row("web-0.nginx.shop.svc.cluster.local:80", &[], "web-0.nginx.shop.svc.cluster.local."),
    srv("_http._tcp.my-service", &[], "_http._tcp.my-service.shop.svc.cluster.local."),
    srv("_http._tcp.my-service.my-ns", &[], "_http._tcp.my-service.my-ns.svc.cluster.local."),
    srv(
        "my-service.my-ns:http",
        &["_http._tcp.my-ns.shop.svc.cluster.local."],
        "_http._tcp.my-service.my-ns.svc.cluster.local.",
    ),
    srv("_http._tcp.my-service.my-ns.svc", &[], "_http._tcp.my-service.my-ns.svc.cluster.local."),
    srv("my-service:http", &[], "_http._tcp.my-service.shop.svc.cluster.local."),
    row("http://rates-eureka.platform-team-a.svc:8080/eureka", &[], "rates-eureka.platform-team-a.svc.cluster.local."),
    row("api.example.com:443", &["api.example.com.svc.cluster.local."], "api.example.com."),
    row("api.example.com.:443", &[], "api.example.com."),
    row("api.eu.example.com:443", &[], "api.eu.example.com."),
];

/// A cluster in which every name of the table has addresses of both families, with a TTL of an hour.
async fn dns() -> FakeDns {
    let dns = FakeDns::builder().ttl(3600).node_search("example.net").start().await.unwrap();
    let pods = |service: Service| {
        let web_0 = Pod::new("10.0.0.1").with_ip("fd00::1").hostname("web-0");
        service.port("http", 8080).pod(web_0).pod(Pod::new("10.0.0.2").with_ip("fd00::2").hostname("web-1"))
    };
    for (namespace, name) in
        [("shop", "my-service"), ("my-ns", "my-service"), ("shop", "nginx"), ("platform-team-a", "rates-eureka")]
    {
        dns.apply(pods(Service::headless(namespace, name)));
    }
    for name in ["api.example.com", "api.eu.example.com"] {
        dns.record(name, "192.0.2.1");
        dns.record(name, "2001:db8::1");
    }
    dns
}

fn resolver(dns: &FakeDns, families: Families, transport: &str) -> Resolver {
    let moment = Duration::from_millis(1);
    let settings = RefreshSettings::default().with_refresh(moment, Duration::from_secs(3600)).unwrap();
    let builder = in_pod_with(dns, "shop", [("DISCOVERY_DNS_TRANSPORT", transport)]).families(families);
    builder.refresh(settings.with_failure_refresh_min(moment)).build().unwrap()
}

type Queries = Vec<(String, QType)>;

/// The queries since the last call, sorted.
fn asked(dns: &FakeDns, transport: &str) -> Queries {
    let mut asked: Queries = dns.questions().into_iter().map(|asked| (asked.name, asked.qtype)).collect();
    dns.forget();
    asked.sort();
    if transport == "udp" {
        asked.dedup();
    }
    asked
}

fn queries(names: &[&str], types: &[QType]) -> Queries {
    let mut all: Queries =
        names.iter().flat_map(|name| types.iter().map(|qtype| ((*name).to_owned(), *qtype))).collect();
    all.sort();
    all
}

async fn resolved(resolver: &Resolver, target: &str) -> Upstream {
    let upstream = within(target, resolver.resolve(target)).await.unwrap();
    within("a round of queries", next_round(&upstream, None)).await;
    upstream
}

/// One refresh, from its first query to its last answer.
async fn refresh(upstream: &Upstream) {
    let before = upstream.explain();
    upstream.refresh();
    within("a round of queries", next_round(upstream, Some(&before))).await;
}

async fn table(families: Families, transport: &str) {
    let types = if families == Families::Both { BOTH } else { A };
    for NameForm { target, denied, name, srv } in TABLE {
        let dns = dns().await;
        let types = if *srv { SRV } else { types };
        let upstream = resolved(&resolver(&dns, families, transport), target).await;
        assert!(!upstream.endpoints().is_empty());
        let names: Vec<&str> = denied.iter().copied().chain([*name]).collect();
        let cold = asked(&dns, transport);
        assert_eq!(cold, queries(&names, types), "{target}, cold");

        let mut refreshes = 0;
        for _ in 0..10 {
            refresh(&upstream).await;
            let asked = asked(&dns, transport);
            assert_eq!(asked, queries(&[name], types), "{target}, refreshed");
            refreshes += asked.len();
        }
        println!("{families}, {transport}: {target}: {} cold, {refreshes} for 10 refreshes", cold.len());
    }
}

#[tokio::test]
async fn every_form_costs_one_query_per_refresh_with_one_family() {
    table(Families::V4, "tcp").await;
    table(Families::V4, "udp").await;
}

#[tokio::test]
async fn every_form_costs_two_queries_per_refresh_with_two_families() {
    table(Families::Both, "tcp").await;
    table(Families::Both, "udp").await;
}

#[tokio::test]
async fn addresses_and_localhost_cost_no_query() {
    for families in [Families::V4, Families::Both] {
        let dns = dns().await;
        let resolver = resolver(&dns, families, "udp");
        for target in ["10.0.0.1:80", "10.0.0.1", "[2001:db8::1]:80", "localhost:80", "http://localhost/", "[::1]"] {
            let upstream = resolved(&resolver, target).await;
            for _ in 0..10 {
                refresh(&upstream).await;
            }
        }
        assert_eq!(dns.total(), 0);
    }
}

/// The rounds in which each type was queried; round 1 is the first lookup.
async fn rounds(dns: &FakeDns, upstream: &Upstream, rounds: usize) -> BTreeMap<QType, Vec<usize>> {
    let mut seen: BTreeMap<QType, Vec<usize>> = BTreeMap::new();
    for round in 1..=rounds {
        if round > 1 {
            refresh(upstream).await;
        }
        for (_, qtype) in asked(dns, "tcp") {
            seen.entry(qtype).or_default().push(round);
        }
    }
    seen
}

#[tokio::test]
async fn queries_an_absent_family_every_tenth_time() {
    for (ip, missing, has) in [("10.0.0.1", QType::AAAA, QType::A), ("fd00::1", QType::A, QType::AAAA)] {
        let dns = FakeDns::builder().ttl(3600).start().await.unwrap();
        dns.apply(Service::headless("shop", "orders").port("http", 80).pod(Pod::new(ip)));
        let upstream = resolved(&resolver(&dns, Families::Both, "tcp"), "orders:80").await;
        let rounds = rounds(&dns, &upstream, 31).await;
        println!("{missing} is queried in rounds {:?}", rounds[&missing]);
        assert_eq!(rounds[&missing], [1, 11, 21, 31]);
        assert_eq!(rounds[&has], (1..=31).collect::<Vec<_>>());
    }
}

/// The resolver skips the absent family nine times; once it has addresses, every refresh queries it.
#[tokio::test]
async fn queries_a_family_every_time_once_it_has_addresses() {
    let dns = FakeDns::builder().ttl(3600).start().await.unwrap();
    dns.apply(Service::headless("shop", "orders").port("http", 80).pod(Pod::new("10.0.0.1")));
    let upstream = resolved(&resolver(&dns, Families::Both, "tcp"), "orders:80").await;
    dns.add_pod("shop", "orders", Pod::new("fd00::1"));
    assert_eq!(rounds(&dns, &upstream, 13).await[&QType::AAAA], [1, 11, 12, 13]);
    assert_eq!(addrs(&upstream.endpoints()), ["10.0.0.1:80", "[fd00::1]:80"]);
}

#[tokio::test]
async fn one_srv_query_yields_ports_and_addresses_of_both_families() {
    let dns = dns().await;
    let upstream = resolved(&resolver(&dns, Families::Both, "udp"), "_http._tcp.my-service").await;
    assert_eq!(asked(&dns, "udp"), queries(&["_http._tcp.my-service.shop.svc.cluster.local."], SRV));
    let expected = ["10.0.0.1:8080", "10.0.0.2:8080", "[fd00::1]:8080", "[fd00::2]:8080"];
    assert_eq!(addrs(&upstream.endpoints()), expected);
}

/// A server need not send the addresses with the SRV records.
#[tokio::test]
async fn an_srv_target_without_addresses_costs_one_more_query_per_family() {
    for (families, types) in [(Families::V4, A), (Families::Both, BOTH)] {
        let dns = dns().await;
        dns.additional(false);
        let upstream = resolved(&resolver(&dns, families, "tcp"), "my-service:http").await;
        assert_eq!(upstream.endpoints().len(), 2);
        let mut expected = queries(&["_http._tcp.my-service.shop.svc.cluster.local."], SRV);
        let targets = ["web-0.my-service.shop.svc.cluster.local.", "web-1.my-service.shop.svc.cluster.local."];
        expected.extend(queries(&targets, types));
        assert_eq!(asked(&dns, "tcp"), expected);
    }
}
