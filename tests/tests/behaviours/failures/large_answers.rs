//! F7: answers that do not fit in a packet.

use std::time::{Duration, Instant};

use discovery_core::Upstream;
use discovery_testing::{FakeDns, QType, Rule, Transport};
use futures_util::FutureExt as _;
use tests::until;

use super::{
    Fails, ORDERS, dns, eventually, evidence, figure, ips, many_orders, orders, pod, pod_with, refusal, within,
};

const QUICK: [(&str, &str); 2] = [("DISCOVERY_DNS_TIMEOUT", "200ms"), ("DISCOVERY_DNS_ATTEMPTS", "1")];

fn over(dns: &FakeDns, transport: Transport) -> usize {
    dns.questions().iter().filter(|asked| asked.transport == transport).count()
}

/// Resolves `target`, looks at every set that is published, and waits for ten refreshes.
async fn all_are_found(what: &str, target: &str, pods: u16) {
    let dns = dns().await;
    dns.apply(many_orders(pods));
    let resolver = pod(&dns);
    let begun = Instant::now();
    let upstream = resolver.upstream(target).unwrap();
    let mut watch = upstream.watch();
    let first = within("an answer", watch.next()).await;
    let took = begun.elapsed();
    assert_eq!(first.len(), usize::from(pods), "{what}: the first set is whole");
    assert_eq!(first.version(), 1, "{what}: and nothing was published before it");
    assert_eq!((over(&dns, Transport::Udp), over(&dns, Transport::Tcp)), (1, 1), "{what}: {:?}", dns.questions());

    within("ten refreshes", dns.asked(|asked| asked.transport == Transport::Tcp, 11)).await;
    assert_eq!(over(&dns, Transport::Udp), 1, "{what}: refreshes go straight to TCP");
    assert!(watch.next().now_or_never().is_none(), "{what}: nothing has changed");
    figure("F7: what, first answer, UDP, TCP queries", (what, took, over(&dns, Transport::Udp), 11));
}

#[tokio::test]
async fn f7_300_endpoints_over_a_are_all_found_and_refreshes_go_straight_to_tcp() {
    all_are_found("300 over A", "orders:80", 300).await;
}

#[tokio::test]
async fn f7_300_endpoints_over_srv_are_all_found_and_refreshes_go_straight_to_tcp() {
    all_are_found("300 over SRV", "orders:http", 300).await;
}

/// The SRV records fit into a TCP message, and only some of the addresses that go with them: the others are found at the
/// Service's name, all with one question.
#[tokio::test]
async fn f7_600_endpoints_over_srv_are_all_found_though_their_addresses_do_not_fit() {
    let dns = dns().await;
    dns.apply(many_orders(600));
    let resolver = pod(&dns);
    let upstream = within("an answer", resolver.resolve("orders:http")).await.unwrap();
    assert_eq!((upstream.endpoints().len(), upstream.endpoints().version()), (600, 1));
    let mut watch = upstream.watch();
    within("the set", watch.next()).await;
    dns.forget();
    within("refreshes", dns.asked(|_| true, 20)).await;
    let asked: std::collections::BTreeSet<_> =
        dns.questions().into_iter().map(|asked| (asked.name, asked.qtype, asked.transport)).collect();
    let (srv, a) = ("_http._tcp.orders.shop.svc.cluster.local.".to_owned(), format!("{ORDERS}."));
    assert_eq!(asked, [(srv, QType::SRV, Transport::Tcp), (a, QType::A, Transport::Tcp)].into());
    assert!(watch.next().now_or_never().is_none(), "nothing has changed");
}

/// Whoever sends more SRV records than fit is not believed: no set, rather than a part of one.
#[tokio::test]
async fn f7_srv_records_that_do_not_fit_are_an_error() {
    let dns = dns().await;
    dns.apply(many_orders(1500));
    let error = refusal(&pod(&dns), "orders:http").await;
    assert!(error.is_transient() && format!("{error:?}").contains("truncated"), "{error:?}");
}

/// The parsing alone is measured elsewhere; this is the whole way.
#[tokio::test]
async fn f7_1000_endpoints_are_all_found() {
    all_are_found("1000 over A", "orders:80", 1000).await;
}

/// Servers differ in what they put into a truncated answer: all of it is left aside.
#[tokio::test]
async fn f7_a_truncated_answer_never_yields_a_partial_set() {
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

/// Not even at the start, where a part would be better than nothing for one request, and worse for all others.
#[tokio::test]
async fn f7_with_tcp_blocked_at_the_start_there_is_an_error_and_no_partial_set() {
    for blocked in [Rule::drop as Fails, Rule::disconnect] {
        let dns = dns().await;
        dns.apply(many_orders(300));
        dns.script(blocked(Rule::any().over(Transport::Tcp)));
        let resolver = pod_with(&dns, &QUICK).build().unwrap();
        let error = refusal(&resolver, "orders:80").await;
        assert!(error.is_transient(), "{error}");
        figure("F7: TCP blocked", error.to_string());
    }
}

async fn keeps_last_good(upstream: &Upstream, dns: &FakeDns, blocked: Rule) {
    let before = upstream.endpoints().to_arc();
    dns.script(blocked);
    eventually(upstream, "stale", |upstream| upstream.endpoints().is_stale()).await;
    let failed = dns.total();
    within("more failures", dns.asked(|_| true, failed + 2)).await;
    assert_eq!(upstream.endpoints().version(), before.version(), "{}", evidence(upstream));
    assert!(upstream.pick().is_ok());
    // The error can be seen.
    eventually(upstream, "the error", |upstream| evidence(upstream).contains("now stale: ")).await;
    dns.clear_script();
    eventually(upstream, "recovery", |upstream| !upstream.endpoints().is_stale()).await;
    assert_eq!(upstream.endpoints().version(), before.version());
}

#[tokio::test]
async fn f7_with_tcp_blocked_the_last_good_set_is_kept() {
    for blocked in [Rule::drop as Fails, Rule::disconnect] {
        let dns = dns().await;
        dns.apply(many_orders(300));
        let resolver = pod_with(&dns, &QUICK).build().unwrap();
        let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
        keeps_last_good(&upstream, &dns, blocked(Rule::any().over(Transport::Tcp))).await;
    }
}

/// A Service that grows beyond a packet while TCP is blocked.
#[tokio::test]
async fn f7_a_service_that_outgrows_a_packet_with_tcp_blocked_keeps_the_last_good_set() {
    let dns = dns().await;
    dns.apply(orders(&["10.0.0.1", "10.0.0.2"]));
    let resolver = pod_with(&dns, &QUICK).build().unwrap();
    let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
    let blocked = dns.script(Rule::any().over(Transport::Tcp).drop());
    dns.apply(many_orders(300));
    eventually(&upstream, "stale", |upstream| upstream.endpoints().is_stale()).await;
    assert_eq!(ips(&upstream.endpoints()), ["10.0.0.1", "10.0.0.2"]);
    dns.remove_rule(blocked);
    let begun = Instant::now();
    until(&upstream, "all of them", |set| set.len() == 300).await;
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(dns.count(ORDERS, QType::A) > 2);
}
