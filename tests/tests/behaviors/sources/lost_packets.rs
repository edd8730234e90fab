//! F1: lost packets. F11: conntrack entries that swallow packets.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use discovery_core::{Resolver, context::Families};
use discovery_testing::{FakeDns, QType, Rule, Transport};
use futures_util::future::join_all;
use tests::{ORDERS, addrs, figure, in_pod_with, orders, question, refusal, within};

use crate::support::dns::{Fails, OVER_TCP, PATIENT, asked_again, dns, dual_stack_pod, pod, pod_with};

/// A second attempt would start after half a minute, so that only a retransmission can bring the answer.
fn patient_pod(dns: &FakeDns) -> Resolver {
    pod_with(dns, &PATIENT).build().unwrap()
}

/// Measures how long an answer takes when the first `lost` packets of its query do not arrive.
async fn answer_after_losing(lost: usize, bound: Duration) {
    let dns = FakeDns::start().await.unwrap();
    dns.apply(orders(&["10.0.0.1"]));
    let resolver = patient_pod(&dns);
    let denied = (0..100).map(|n| {
        let resolver = &resolver;
        async move { assert!(refusal(resolver, &format!("nobody-{n}:80")).await.is_not_found()) }
    });
    join_all(denied).await;

    dns.script(Rule::any().name(ORDERS).times(lost).drop());
    let begun = Instant::now();
    let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
    let took = begun.elapsed();

    assert_eq!(addrs(&upstream.endpoints()), ["10.0.0.1:80"]);
    let sent: Vec<_> = dns.questions().into_iter().filter(question(ORDERS, QType::A)).collect();
    assert_eq!(sent.iter().filter(|asked| asked.dropped).count(), lost);
    assert!(sent.iter().all(|asked| asked.transport == Transport::Udp), "{sent:?}");
    figure(&format!("F1: answer with {lost} packets lost, after 100 negative answers"), took);
    figure(&format!("F1: transmissions with {lost} packets lost"), sent.len());
    assert!(took < bound, "{took:?}");
}

/// F1. The figure in `docs/failure-modes.md` is 400 ms.
#[tokio::test]
async fn one_lost_packet_after_100_negative_answers_costs_one_retransmission() {
    answer_after_losing(1, Duration::from_secs(2)).await;
}

/// F1. The figure in `docs/failure-modes.md` is 1 s.
#[tokio::test]
async fn three_lost_packets_after_100_negative_answers_cost_three_retransmissions() {
    answer_after_losing(3, Duration::from_secs(4)).await;
}

/// hickory's resolver counts each negative answer as a slow one, until one lost packet costs seconds.
///
/// The whole lookup has one attempt of one second: a retransmission that comes a second late would fail it.
async fn lost_after_60_denials(what: &str, deny: Fails, families: Families, lost: usize) {
    let dns = FakeDns::start().await.unwrap();
    dns.apply(orders(&["10.0.0.1"]));
    dns.script(deny(Rule::when(|asked| asked.name.starts_with("nobody-"))));
    let vars = [("DISCOVERY_DNS_TIMEOUT", "1s"), ("DISCOVERY_DNS_ATTEMPTS", "1")];
    let resolver = in_pod_with(&dns, "shop", vars).families(families).build().unwrap();
    for n in 0..60 {
        let error = refusal(&resolver, &format!("nobody-{n}:80")).await;
        assert!(!error.is_transient(), "{error}");
    }
    dns.script(Rule::any().name(ORDERS).qtype(QType::A).times(lost).drop());
    let begun = Instant::now();
    within("an answer", resolver.resolve("orders:80")).await.unwrap();
    println!("T3: {lost} lost after 60 {what}: {:?}, {} transmissions", begun.elapsed(), dns.count(ORDERS, QType::A));
    assert_eq!(dns.count(ORDERS, QType::A), lost + 1, "each loss costs one retransmission");
    let dropped = dns.questions().iter().filter(|asked| asked.dropped).count();
    assert_eq!(dropped, lost);
}

/// T3.
#[tokio::test]
async fn negative_answers_do_not_delay_later_retransmissions() {
    lost_after_60_denials("NXDOMAIN", Rule::nxdomain, Families::V4, 1).await;
    lost_after_60_denials("NODATA", Rule::nodata, Families::V4, 2).await;
    lost_after_60_denials("NODATA, dual stack", Rule::nodata, Families::Both, 3).await;
}

/// F1. The race in conntrack is between two packets of one source port.
#[tokio::test]
async fn a_and_aaaa_queries_leave_from_different_ports() {
    let dns = dns().await;
    dns.apply(orders(&["10.0.0.1", "fd00::1"]));
    let upstream = within("an answer", dual_stack_pod(&dns).resolve("orders:80")).await.unwrap();
    within("10 rounds", dns.asked(question(ORDERS, QType::A), 10)).await;
    drop(upstream);
    let questions = dns.questions();
    let ports = |qtype| {
        let of_type = questions.iter().filter(move |asked| asked.qtype == qtype);
        of_type.map(|asked| asked.from.port()).collect::<Vec<u16>>()
    };
    let (a, aaaa) = (ports(QType::A), ports(QType::AAAA));
    assert!(a.iter().zip(&aaaa).all(|(a, aaaa)| a != aaaa), "{questions:?}");
    assert!(aaaa.len() >= 9);
}

/// F11. The same port may be drawn twice by chance, so that a few may repeat.
#[tokio::test]
async fn every_udp_query_leaves_from_its_own_port() {
    let dns = dns().await;
    dns.apply(orders(&["10.0.0.1"]));
    dns.script(Rule::any().times(2).drop());
    let upstream = within("an answer", pod(&dns).resolve("orders:80")).await.unwrap();
    within("40 queries", dns.asked(|_| true, 40)).await;
    drop(upstream);
    let questions = dns.questions();
    let retransmitted: BTreeSet<u16> = questions.iter().take(3).map(|asked| asked.from.port()).collect();
    assert_eq!(retransmitted.len(), 3, "each retransmission leaves while the previous socket is open");
    let ports: BTreeSet<u16> = questions.iter().map(|asked| asked.from.port()).collect();
    figure("F11: source ports, packets", (ports.len(), questions.len()));
    assert!(ports.len() + 3 >= questions.len(), "{questions:?}");
}

/// F11.
#[tokio::test]
async fn keeps_a_tcp_connection_and_replaces_it_when_it_breaks() {
    let dns = dns().await;
    dns.apply(orders(&["10.0.0.1"]));
    let resolver = pod_with(&dns, &OVER_TCP).build().unwrap();
    let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
    let mut watch = upstream.watch();
    let first = watch.next().await;
    asked_again(&dns, 10).await;
    let connections = || dns.questions().iter().map(|asked| asked.from.port()).collect::<BTreeSet<u16>>();
    assert_eq!(connections().len(), 1, "one connection carries all queries");

    dns.script(Rule::any().times(1).disconnect());
    asked_again(&dns, 10).await;
    assert_eq!(connections().len(), 2, "the query that was cut off is sent again over a new connection");
    let broken: Vec<bool> = dns.questions().iter().map(|asked| asked.dropped).collect();
    assert_eq!(broken.iter().filter(|dropped| **dropped).count(), 1);
    let endpoints = upstream.endpoints();
    assert!(!endpoints.is_stale());
    assert_eq!(endpoints.version(), first.version(), "callers notice nothing");
    assert!(dns.questions().iter().all(|asked| asked.transport == Transport::Tcp));
}

/// F11. A TTL of 13 s leads to a query every 10.4 to 11.7 s, each after the connection was closed.
#[tokio::test]
async fn closes_an_idle_tcp_connection_after_10_s() {
    let dns = FakeDns::builder().ttl(13).start().await.unwrap();
    dns.apply(orders(&["10.0.0.1"]));
    let resolver = pod_with(&dns, &OVER_TCP).build().unwrap();
    let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
    within("the first refresh, after 1.3 to 11.7 s", dns.asked(|_| true, 2)).await;
    within("the second refresh, 10.4 to 11.7 s later", dns.asked(|_| true, 3)).await;
    drop(upstream);
    let ports: Vec<u16> = dns.questions().iter().map(|asked| asked.from.port()).collect();
    assert_ne!(ports[1], ports[2], "{ports:?}");
}

/// F11. A Service's virtual address leads each connection to one replica: a connection that is always in use would stay
/// with the same replica.
#[tokio::test]
async fn replaces_a_busy_tcp_connection_after_60_s() {
    let dns = FakeDns::start().await.unwrap();
    let resolver = pod_with(&dns, &OVER_TCP).build().unwrap();
    for nth in 0..10 {
        assert!(refusal(&resolver, &format!("nobody-{nth}:80")).await.is_not_found());
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(9)).await;
        tokio::time::resume();
    }
    let ports: Vec<u16> = dns.questions().iter().map(|asked| asked.from.port()).collect();
    let [first, rest @ ..] = ports.as_slice() else { panic!("no queries") };
    let kept = rest.iter().take_while(|port| *port == first).count();
    assert_eq!((ports.len(), kept), (10, 6), "queries at 0, 9, ... 81 s; replaced at 63 s: {ports:?}");
    assert!(rest[kept..].iter().all(|port| *port == rest[kept]), "{ports:?}");
}
