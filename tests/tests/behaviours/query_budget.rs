//! How many questions each form of a name costs: cold, and for each refresh (query budget of the DNS contract).
//!
//! Nothing is refreshed here unless a test says so. Over TCP nothing is sent twice, so that every question counts;
//! over UDP a question that repeats the one before it within a round may be a retransmission.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use discovery_core::{Environment, Resolver, Upstream, plan::Families, refresh::RefreshSettings};
use discovery_testing::{FakeDns, Pod, QType, Service};
use tests::{PATIENCE, addrs};
use tokio::time::timeout;

const A: &[QType] = &[QType::A];
const BOTH: &[QType] = &[QType::A, QType::AAAA];
const SRV: &[QType] = &[QType::SRV];

/// A form of a name, what is asked in vain at first, and what is asked from then on.
struct Row {
    target: &'static str,
    in_vain: &'static [&'static str],
    name: &'static str,
    srv: bool,
}

const fn row(target: &'static str, in_vain: &'static [&'static str], name: &'static str) -> Row {
    Row { target, in_vain, name, srv: false }
}

const fn srv(target: &'static str, in_vain: &'static [&'static str], name: &'static str) -> Row {
    Row { target, in_vain, name, srv: true }
}

/// The namespace is `shop`. Names of two labels cost a second question once: a pod of an own Service comes first, as
/// in libc; and so do hosts of three labels, which may be a pod.
const TABLE: &[Row] = &[
    row("my-service:80", &[], "my-service.shop.svc.cluster.local."),
    row("my-service", &[], "my-service.shop.svc.cluster.local."),
    row("my-service.my-ns:80", &["my-service.my-ns.shop.svc.cluster.local."], "my-service.my-ns.svc.cluster.local."),
    row("web-0.nginx:80", &[], "web-0.nginx.shop.svc.cluster.local."),
    row("my-service.my-ns.svc:80", &[], "my-service.my-ns.svc.cluster.local."),
    row("my-service.my-ns.svc.cluster.local:80", &[], "my-service.my-ns.svc.cluster.local."),
    row("my-service.my-ns.svc.cluster.local.:80", &[], "my-service.my-ns.svc.cluster.local."),
    row("web-0.nginx.shop.svc.cluster.local:80", &[], "web-0.nginx.shop.svc.cluster.local."),
    srv("_http._tcp.my-service", &[], "_http._tcp.my-service.shop.svc.cluster.local."),
    srv(
        "_http._tcp.my-service.my-ns",
        &["_http._tcp.my-ns.shop.svc.cluster.local."],
        "_http._tcp.my-service.my-ns.svc.cluster.local.",
    ),
    srv("_http._tcp.my-service.my-ns.svc", &[], "_http._tcp.my-service.my-ns.svc.cluster.local."),
    srv("my-service:http", &[], "_http._tcp.my-service.shop.svc.cluster.local."),
    row(
        "http://rates-eureka.icg-msst-cv-rates-171832.svc:8080/eureka",
        &[],
        "rates-eureka.icg-msst-cv-rates-171832.svc.cluster.local.",
    ),
    row("api.example.com:443", &["api.example.com.svc.cluster.local."], "api.example.com."),
    row("api.example.com.:443", &[], "api.example.com."),
    row("api.eu.example.com:443", &[], "api.eu.example.com."),
];

/// A cluster in which every name of the table has addresses of both families. Answers hold for an hour.
async fn dns() -> FakeDns {
    let dns = FakeDns::builder().ttl(3600).node_search("example.net").start().await.unwrap();
    let pods = |service: Service| {
        let web_0 = Pod::new("10.0.0.1").with_ip("fd00::1").hostname("web-0");
        service.port("http", 8080).pod(web_0).pod(Pod::new("10.0.0.2").with_ip("fd00::2").hostname("web-1"))
    };
    for (namespace, name) in [
        ("shop", "my-service"),
        ("my-ns", "my-service"),
        ("shop", "nginx"),
        ("icg-msst-cv-rates-171832", "rates-eureka"),
    ] {
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
    let vars = [("POD_NAMESPACE", "shop"), ("DISCOVERY_DNS_TRANSPORT", transport)];
    let environment = Environment::empty().with_env(vars).with_resolv_conf(dns.resolv_conf("shop"));
    let builder = Resolver::builder().environment(environment).nameservers([dns.addr()]).families(families);
    builder.refresh(settings.with_failure_refresh_min(moment)).build().unwrap()
}

type Questions = Vec<(String, QType)>;

/// What was asked since the last time, sorted.
fn asked(dns: &FakeDns, transport: &str) -> Questions {
    let mut asked: Questions = dns.questions().into_iter().map(|asked| (asked.name, asked.qtype)).collect();
    dns.forget();
    asked.sort();
    if transport == "udp" {
        asked.dedup();
    }
    asked
}

fn questions(names: &[&str], types: &[QType]) -> Questions {
    let mut all: Questions =
        names.iter().flat_map(|name| types.iter().map(|qtype| ((*name).to_owned(), *qtype))).collect();
    all.sort();
    all
}

/// Waits until a whole round of questions is over, not only as much of it as requests can be sent to.
async fn round_is_over(upstream: &Upstream, since: Option<&Arc<discovery_core::Explanation>>) {
    let over = async {
        loop {
            let now = upstream.explain();
            if !now.steps.is_empty() && since.is_none_or(|before| !Arc::ptr_eq(before, &now)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, over).await.expect("a round of questions");
}

async fn resolved(resolver: &Resolver, target: &str) -> Upstream {
    let upstream = timeout(PATIENCE, resolver.resolve(target)).await.expect(target).unwrap();
    round_is_over(&upstream, None).await;
    upstream
}

/// One refresh, from its first question to its last answer.
async fn refresh(upstream: &Upstream) {
    let before = upstream.explain();
    upstream.refresh();
    round_is_over(upstream, Some(&before)).await;
}

async fn table(families: Families, transport: &str) {
    let types = if families == Families::Both { BOTH } else { A };
    for Row { target, in_vain, name, srv } in TABLE {
        let dns = dns().await;
        let types = if *srv { SRV } else { types };
        let upstream = resolved(&resolver(&dns, families, transport), target).await;
        assert!(!upstream.endpoints().is_empty());
        let names: Vec<&str> = in_vain.iter().copied().chain([*name]).collect();
        let cold = asked(&dns, transport);
        assert_eq!(cold, questions(&names, types), "{target}, cold");

        let mut refreshes = 0;
        for _ in 0..10 {
            refresh(&upstream).await;
            let asked = asked(&dns, transport);
            assert_eq!(asked, questions(&[name], types), "{target}, refreshed");
            refreshes += asked.len();
        }
        println!("{families}, {transport}: {target}: {} cold, {refreshes} for 10 refreshes", cold.len());
    }
}

#[tokio::test]
async fn every_form_costs_one_question_per_refresh_with_one_family() {
    table(Families::V4, "tcp").await;
    table(Families::V4, "udp").await;
}

#[tokio::test]
async fn every_form_costs_two_questions_per_refresh_with_two_families() {
    table(Families::Both, "tcp").await;
    table(Families::Both, "udp").await;
}

#[tokio::test]
async fn addresses_and_localhost_cost_nothing() {
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

/// In which of the rounds, the cold one being 1, each type was asked.
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
async fn a_family_without_addresses_is_asked_every_tenth_time() {
    for (ip, missing, has) in [("10.0.0.1", QType::AAAA, QType::A), ("fd00::1", QType::A, QType::AAAA)] {
        let dns = FakeDns::builder().ttl(3600).start().await.unwrap();
        dns.apply(Service::headless("shop", "orders").port("http", 80).pod(Pod::new(ip)));
        let upstream = resolved(&resolver(&dns, Families::Both, "tcp"), "orders:80").await;
        let rounds = rounds(&dns, &upstream, 31).await;
        println!("{missing} is asked in rounds {:?}", rounds[&missing]);
        assert_eq!(rounds[&missing], [1, 11, 21, 31]);
        assert_eq!(rounds[&has], (1..=31).collect::<Vec<_>>());
    }
}

/// Nine times it is not asked for; from the tenth on it is one like the other.
#[tokio::test]
async fn a_family_that_gets_addresses_is_asked_every_time() {
    let dns = FakeDns::builder().ttl(3600).start().await.unwrap();
    dns.apply(Service::headless("shop", "orders").port("http", 80).pod(Pod::new("10.0.0.1")));
    let upstream = resolved(&resolver(&dns, Families::Both, "tcp"), "orders:80").await;
    dns.add_pod("shop", "orders", Pod::new("fd00::1"));
    assert_eq!(rounds(&dns, &upstream, 13).await[&QType::AAAA], [1, 11, 12, 13]);
    assert_eq!(addrs(&upstream.endpoints()), ["10.0.0.1:80", "[fd00::1]:80"]);
}

#[tokio::test]
async fn srv_gives_ports_and_addresses_of_both_families_in_one_question() {
    let dns = dns().await;
    let upstream = resolved(&resolver(&dns, Families::Both, "udp"), "_http._tcp.my-service").await;
    assert_eq!(asked(&dns, "udp"), questions(&["_http._tcp.my-service.shop.svc.cluster.local."], SRV));
    let expected = ["10.0.0.1:8080", "10.0.0.2:8080", "[fd00::1]:8080", "[fd00::2]:8080"];
    assert_eq!(addrs(&upstream.endpoints()), expected);
}

/// A server need not send them along.
#[tokio::test]
async fn a_target_without_addresses_costs_one_question_more_per_family() {
    for (families, types) in [(Families::V4, A), (Families::Both, BOTH)] {
        let dns = dns().await;
        dns.additional(false);
        let upstream = resolved(&resolver(&dns, families, "tcp"), "my-service:http").await;
        assert_eq!(upstream.endpoints().len(), 2);
        let mut expected = questions(&["_http._tcp.my-service.shop.svc.cluster.local."], SRV);
        let targets = ["web-0.my-service.shop.svc.cluster.local.", "web-1.my-service.shop.svc.cluster.local."];
        expected.extend(questions(&targets, types));
        assert_eq!(asked(&dns, "tcp"), expected);
    }
}
