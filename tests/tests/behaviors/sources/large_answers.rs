//! F7: answers that do not fit in a packet.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use discovery_core::Upstream;
use discovery_testing::{FakeDns, QType, Rule, Transport};
use futures_util::FutureExt as _;
use tests::{
    ORDERS, eventually, figure, in_pod, ips, many_orders, orders, refusal, until, until_fresh, until_stale, within,
};

use crate::support::dns::{Fails, dns, evidence, pod, pod_with, pod_with_lines};

/// A lost query costs 200 ms, enough for a large answer.
const ONE_ATTEMPT: [(&str, &str); 2] = [("DISCOVERY_DNS_TIMEOUT", "200ms"), ("DISCOVERY_DNS_ATTEMPTS", "1")];

fn queries_over(dns: &FakeDns, transport: Transport) -> usize {
    dns.questions().iter().filter(|asked| asked.transport == transport).count()
}

/// Resolves `target`, checks that the first set is whole, and waits for ten refreshes.
async fn finds_all(what: &str, target: &str, pods: u16) {
    let dns = dns().await;
    dns.apply(many_orders(pods));
    let resolver = pod(&dns);
    let begun = Instant::now();
    let upstream = resolver.upstream(target).unwrap();
    let mut watch = upstream.watch();
    let first = within("an answer", watch.next()).await;
    let took = begun.elapsed();
    assert_eq!(first.len(), usize::from(pods), "{what}: the first set is whole");
    assert_eq!(first.version(), 1, "{what}: no other set was published before it");
    assert_eq!(
        (queries_over(&dns, Transport::Udp), queries_over(&dns, Transport::Tcp)),
        (1, 1),
        "{what}: {:?}",
        dns.questions()
    );

    within("ten refreshes", dns.asked(|asked| asked.transport == Transport::Tcp, 11)).await;
    assert_eq!(queries_over(&dns, Transport::Udp), 1, "{what}: refreshes go straight to TCP");
    assert!(watch.next().now_or_never().is_none(), "{what}: nothing has changed");
    figure("F7: what, first answer, UDP, TCP queries", (what, took, queries_over(&dns, Transport::Udp), 11));
}

/// F7.
#[tokio::test]
async fn finds_300_endpoints_over_a_and_refreshes_over_tcp() {
    finds_all("300 over A", "orders:80", 300).await;
}

/// F7.
#[tokio::test]
async fn finds_300_endpoints_over_srv_and_refreshes_over_tcp() {
    finds_all("300 over SRV", "orders:http", 300).await;
}

/// F7. The SRV records fit into a TCP message, but only some of their addresses do. One query for the Service's name
/// finds the others.
#[tokio::test]
async fn finds_600_srv_endpoints_whose_addresses_do_not_fit() {
    let dns = dns().await;
    dns.apply(many_orders(600));
    let resolver = pod(&dns);
    let upstream = within("an answer", resolver.resolve("orders:http")).await.unwrap();
    assert_eq!((upstream.endpoints().len(), upstream.endpoints().version()), (600, 1));
    let mut watch = upstream.watch();
    within("the set", watch.next()).await;
    dns.forget();
    within("refreshes", dns.asked(|_| true, 20)).await;
    let asked: BTreeSet<_> =
        dns.questions().into_iter().map(|asked| (asked.name, asked.qtype, asked.transport)).collect();
    let (srv, a) = ("_http._tcp.orders.shop.svc.cluster.local.".to_owned(), format!("{ORDERS}."));
    assert_eq!(asked, [(srv, QType::SRV, Transport::Tcp), (a, QType::A, Transport::Tcp)].into());
    assert!(watch.next().now_or_never().is_none(), "nothing has changed");
}

/// F7. A truncated answer over TCP yields no set rather than a part of one.
#[tokio::test]
async fn srv_records_that_do_not_fit_are_an_error() {
    let dns = dns().await;
    dns.apply(many_orders(1500));
    let error = refusal(&pod(&dns), "orders:http").await;
    assert!(error.is_transient() && format!("{error:?}").contains("truncated"), "{error:?}");
}

/// F7. Another test measures the parsing alone; this test shows the whole lookup.
#[tokio::test]
async fn finds_1000_endpoints() {
    finds_all("1000 over A", "orders:80", 1000).await;
}

/// F7. Servers differ in what they put into a truncated answer; the resolver ignores all of it.
#[tokio::test]
async fn a_truncated_answer_never_yields_a_partial_set() {
    for (target, records) in [("orders:80", 0), ("orders:80", 2), ("orders:http", 0), ("orders:http", 7)] {
        let dns = dns().await;
        dns.apply(orders(&["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"]));
        dns.script(Rule::any().truncate_to(records));
        let resolver = pod(&dns);
        let mut watch = resolver.upstream(target).unwrap().watch();
        let first = within("an answer", watch.next()).await;
        assert_eq!((first.len(), first.version()), (5, 1), "{target}, {records}");
        within("refreshes", dns.asked(|_| true, 10)).await;
        assert!(watch.next().now_or_never().is_none(), "{target}, {records}");
    }
}

/// F7. Even at the start, where a part would be better than nothing for one request, and worse for all others.
#[tokio::test]
async fn blocked_tcp_at_the_start_is_an_error_and_not_a_partial_set() {
    for blocked in [Rule::drop as Fails, Rule::disconnect] {
        let dns = dns().await;
        dns.apply(many_orders(300));
        dns.script(blocked(Rule::any().over(Transport::Tcp)));
        let resolver = pod_with(&dns, &ONE_ATTEMPT).build().unwrap();
        let error = refusal(&resolver, "orders:80").await;
        assert!(error.is_transient(), "{error}");
        figure("F7: TCP blocked", error.to_string());
    }
}

async fn keeps_last_good(upstream: &Upstream, dns: &FakeDns, blocked: Rule) {
    let before = upstream.endpoints().to_arc();
    dns.script(blocked);
    until_stale(upstream).await;
    let failed = dns.total();
    within("more failures", dns.asked(|_| true, failed + 2)).await;
    assert_eq!(upstream.endpoints().version(), before.version(), "{}", evidence(upstream));
    assert!(upstream.pick().is_ok());
    // The explanation shows the error.
    eventually(upstream, "the error", |upstream| evidence(upstream).contains("now stale: ")).await;
    dns.clear_script();
    until_fresh(upstream).await;
    assert_eq!(upstream.endpoints().version(), before.version());
}

/// F7.
#[tokio::test]
async fn keeps_endpoints_while_tcp_is_blocked() {
    for blocked in [Rule::drop as Fails, Rule::disconnect] {
        let dns = dns().await;
        dns.apply(many_orders(300));
        let resolver = pod_with(&dns, &ONE_ATTEMPT).build().unwrap();
        let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
        keeps_last_good(&upstream, &dns, blocked(Rule::any().over(Transport::Tcp))).await;
    }
}

/// F7.
#[tokio::test]
async fn keeps_endpoints_when_a_service_outgrows_a_packet_while_tcp_is_blocked() {
    let dns = dns().await;
    dns.apply(orders(&["10.0.0.1", "10.0.0.2"]));
    let resolver = pod_with(&dns, &ONE_ATTEMPT).build().unwrap();
    let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
    let blocked = dns.script(Rule::any().over(Transport::Tcp).drop());
    dns.apply(many_orders(300));
    until_stale(&upstream).await;
    assert_eq!(ips(&upstream.endpoints()), ["10.0.0.1", "10.0.0.2"]);
    dns.remove_rule(blocked);
    let begun = Instant::now();
    until(&upstream, "all of them", |set| set.len() == 300).await;
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(dns.count(ORDERS, QType::A) > 2);
}

fn transports(dns: &FakeDns) -> Vec<Transport> {
    dns.questions().iter().map(|asked| asked.transport).collect()
}

/// T1. No pod's `resolv.conf` has `options edns0`. Without EDNS the server truncates at 512 octets, and 30 pods are
/// more.
#[tokio::test]
async fn edns_is_on_whatever_resolv_conf_says() {
    for pods in [30, 50, 70] {
        for lines in ["", "options edns0", "options ndots:2 single-request-reopen"] {
            let dns = FakeDns::start().await.unwrap();
            dns.apply(many_orders(pods));
            let upstream = pod_with_lines(&dns, lines, &[]).build().unwrap().resolve("orders:80").await.unwrap();
            assert_eq!(upstream.endpoints().len(), usize::from(pods));
            assert!(transports(&dns).iter().all(|over| *over == Transport::Udp), "{pods}, {lines}");
            println!("T1: {pods} pods, `{lines}`: {:?}", transports(&dns));
        }
    }
}

/// T1. Shows that the test above can fail.
#[tokio::test]
async fn an_answer_larger_than_edns_allows_goes_over_tcp() {
    let dns = FakeDns::start().await.unwrap();
    dns.apply(many_orders(100));
    let upstream = in_pod(&dns, "shop").build().unwrap().resolve("orders:80").await.unwrap();
    assert_eq!(upstream.endpoints().len(), 100);
    assert_eq!(transports(&dns).last(), Some(&Transport::Tcp));
}
