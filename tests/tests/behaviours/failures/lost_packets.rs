//! F1: packets that are lost. F11: entries of conntrack that swallow packets.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use discovery_core::Resolver;
use discovery_testing::{FakeDns, QType, Rule, Transport};
use tests::addrs;

use super::{ORDERS, asked_again, dns, dual_stack_pod, figure, orders, pod, pod_with, question, refusal, within};

/// A second attempt would come after half a minute, so that an answer is due to retransmission only.
fn patient_pod(dns: &FakeDns) -> Resolver {
    pod_with(dns, &[("DISCOVERY_DNS_TIMEOUT", "30s"), ("DISCOVERY_DNS_ATTEMPTS", "1")]).build().unwrap()
}

/// How long an answer takes when the first `lost` packets of its question do not arrive.
async fn answer_after_losing(lost: usize, bound: Duration) {
    let dns = FakeDns::start().await.unwrap();
    dns.apply(orders(&["10.0.0.1"]));
    let resolver = patient_pod(&dns);
    let denied = (0..100).map(|n| {
        let resolver = &resolver;
        async move { assert!(refusal(resolver, &format!("nobody-{n}:80")).await.is_not_found()) }
    });
    futures_util::future::join_all(denied).await;

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

/// The contract says 400 ms.
#[tokio::test]
async fn f1_a_lost_packet_after_100_negative_answers_costs_one_retransmission() {
    answer_after_losing(1, Duration::from_secs(2)).await;
}

/// The contract says 1 s.
#[tokio::test]
async fn f1_three_lost_packets_after_100_negative_answers_cost_three_retransmissions() {
    answer_after_losing(3, Duration::from_secs(4)).await;
}

/// The race in conntrack is between two packets of one source port.
#[tokio::test]
async fn f1_a_and_aaaa_leave_from_different_ports() {
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

/// A port that happens to be drawn twice is no mistake, so a few may repeat.
#[tokio::test]
async fn f11_every_packet_leaves_from_a_port_of_its_own() {
    let dns = dns().await;
    dns.apply(orders(&["10.0.0.1"]));
    dns.script(Rule::any().times(2).drop());
    let upstream = within("an answer", pod(&dns).resolve("orders:80")).await.unwrap();
    within("40 questions", dns.asked(|_| true, 40)).await;
    drop(upstream);
    let questions = dns.questions();
    let retransmitted: BTreeSet<u16> = questions.iter().take(3).map(|asked| asked.from.port()).collect();
    assert_eq!(retransmitted.len(), 3, "a retransmission leaves while the socket before it is open");
    let ports: BTreeSet<u16> = questions.iter().map(|asked| asked.from.port()).collect();
    figure("F11: source ports, packets", (ports.len(), questions.len()));
    assert!(ports.len() + 3 >= questions.len(), "{questions:?}");
}

#[tokio::test]
async fn f11_a_tcp_connection_is_kept_and_replaced_when_it_breaks() {
    let dns = dns().await;
    dns.apply(orders(&["10.0.0.1"]));
    let resolver = pod_with(&dns, &[("DISCOVERY_DNS_TRANSPORT", "tcp")]).build().unwrap();
    let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
    let mut watch = upstream.watch();
    let first = watch.next().await;
    asked_again(&dns, 10).await;
    let connections = || dns.questions().iter().map(|asked| asked.from.port()).collect::<BTreeSet<u16>>();
    assert_eq!(connections().len(), 1, "one connection carries all questions");

    dns.script(Rule::any().times(1).disconnect());
    asked_again(&dns, 10).await;
    assert_eq!(connections().len(), 2, "the question that was cut off is asked again over a new connection");
    let broken: Vec<bool> = dns.questions().iter().map(|asked| asked.dropped).collect();
    assert_eq!(broken.iter().filter(|dropped| **dropped).count(), 1);
    let endpoints = upstream.endpoints();
    assert!(!endpoints.is_stale());
    assert_eq!(endpoints.version(), first.version(), "nobody has noticed");
    assert!(dns.questions().iter().all(|asked| asked.transport == Transport::Tcp));
}

/// The TTL of 13 s leads to a question every 10.4 to 11.7 s, each of which comes after the connection was closed.
#[tokio::test]
async fn f11_an_idle_tcp_connection_is_closed_after_10_s() {
    let dns = FakeDns::builder().ttl(13).start().await.unwrap();
    dns.apply(orders(&["10.0.0.1"]));
    let resolver = pod_with(&dns, &[("DISCOVERY_DNS_TRANSPORT", "tcp")]).build().unwrap();
    let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
    within("a refresh", dns.asked(|_| true, 2)).await;
    drop(upstream);
    let ports: BTreeSet<u16> = dns.questions().iter().map(|asked| asked.from.port()).collect();
    assert_eq!(ports.len(), 2);
}

/// A Service's virtual address leads each connection to one replica: a connection that is always in use would be
/// with the same one for ever.
#[tokio::test]
async fn f11_a_tcp_connection_in_use_is_replaced_after_60_s() {
    let dns = FakeDns::start().await.unwrap();
    let resolver = pod_with(&dns, &[("DISCOVERY_DNS_TRANSPORT", "tcp")]).build().unwrap();
    for nth in 0..10 {
        assert!(refusal(&resolver, &format!("nobody-{nth}:80")).await.is_not_found());
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(9)).await;
        tokio::time::resume();
    }
    let ports: Vec<u16> = dns.questions().iter().map(|asked| asked.from.port()).collect();
    let [first, rest @ ..] = ports.as_slice() else { panic!("no questions") };
    let kept = rest.iter().take_while(|port| *port == first).count();
    assert_eq!((ports.len(), kept), (10, 6), "asked at 0, 9, ... 81 s; replaced at 63 s: {ports:?}");
    assert!(rest[kept..].iter().all(|port| *port == rest[kept]), "{ports:?}");
}
