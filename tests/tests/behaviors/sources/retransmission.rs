//! F1, F6: how many packets a slow nameserver and a dead one get, and which of their answers count.
//!
//! glibc (`resolv.conf(5)`: `timeout:5 attempts:2`) sends a packet every five seconds to a server that does not answer.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use discovery_core::{Resolver, context::Families};
use discovery_testing::{FakeDns, QType, Rule};
use futures_util::future::join_all;
use tests::{ORDERS, addrs, brisk, figure, in_pod, in_pod_with, orders, question, refusal, within};

use crate::support::dns::dns_with_orders;

/// The resolver of a pod, for IPv4, with all defaults.
fn pod(dns: &FakeDns) -> Resolver {
    in_pod(dns, "shop").families(Families::V4).build().unwrap()
}

/// `orders` on a server that answers each query after `delay`.
async fn slow(delay: Duration) -> FakeDns {
    let dns = FakeDns::builder().ttl(0).start().await.unwrap();
    dns.apply(orders(&["10.0.0.1"]));
    dns.script(Rule::any().delay(delay));
    dns
}

/// The packets of the first question and of one of its refreshes.
async fn packets_to_a_slow_server(delay: Duration) -> (usize, usize) {
    let dns = slow(delay).await;
    let resolver = pod(&dns);
    let begun = Instant::now();
    let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
    let first = dns.count(ORDERS, QType::A);
    figure("F1: delay, first answer after, its packets", (delay, begun.elapsed(), first));
    within("a refresh", dns.asked(question(ORDERS, QType::A), first + 1)).await;
    let asked = Instant::now();
    while asked.elapsed() < delay {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let refresh = dns.count(ORDERS, QType::A) - first;
    assert_eq!(addrs(&upstream.endpoints()), ["10.0.0.1:80"]);
    figure("F1: delay, packets of a refresh", (delay, refresh));
    (first, refresh)
}

/// glibc sends one packet.
#[tokio::test]
async fn a_server_that_takes_400_ms_gets_two_packets_at_first_and_one_from_then_on() {
    assert_eq!(packets_to_a_slow_server(Duration::from_millis(400)).await, (2, 1));
}

/// glibc sends one packet. Transmissions are at 0, 150, 450 and 1050 ms, and the answer to the first one counts.
#[tokio::test]
async fn a_server_that_takes_1200_ms_is_waited_for() {
    let (first, refresh) = packets_to_a_slow_server(Duration::from_millis(1200)).await;
    assert!(first <= 4, "{first}");
    assert_eq!(refresh, 1);
}

/// Only the first packet is answered, long after the last one was sent.
#[tokio::test]
async fn a_late_answer_to_the_first_packet_counts() {
    let dns = FakeDns::start().await.unwrap();
    dns.apply(orders(&["10.0.0.1"]));
    dns.script(Rule::any().times(1).delay(Duration::from_secs(2)));
    dns.script(Rule::any().drop());
    within("an answer", pod(&dns).resolve("orders:80")).await.unwrap();
    assert!(dns.count(ORDERS, QType::A) <= 4);
}

/// The same for a packet in the middle.
#[tokio::test]
async fn a_late_answer_to_the_second_packet_counts() {
    let dns = FakeDns::start().await.unwrap();
    dns.apply(orders(&["10.0.0.1"]));
    dns.script(Rule::any().times(1).drop());
    dns.script(Rule::any().times(1).delay(Duration::from_secs(2)));
    dns.script(Rule::any().drop());
    within("an answer", pod(&dns).resolve("orders:80")).await.unwrap();
}

/// The packets that a silent server gets in `secs` from so many names.
async fn packets_to_a_silent_server(names: usize, secs: u64) -> usize {
    let dns = FakeDns::start().await.unwrap();
    dns.script(Rule::any().drop());
    let resolver = pod(&dns);
    let upstreams: Vec<_> = (0..names).map(|n| resolver.upstream(format!("orders-{n}:80").as_str()).unwrap()).collect();
    tokio::time::sleep(Duration::from_secs(secs)).await;
    drop(upstreams);
    figure("F6: silent server: names, seconds, packets", (names, secs, dns.total()));
    dns.total()
}

/// glibc sends 4 packets in 20 s.
#[tokio::test]
async fn a_dead_server_gets_few_packets_for_one_name() {
    let packets = packets_to_a_silent_server(1, 20).await;
    assert!(packets <= 8, "{packets}");
}

/// glibc sends 400 packets in 20 s.
#[tokio::test]
async fn a_dead_server_is_probed_by_one_question_for_all_names() {
    let packets = packets_to_a_silent_server(100, 20).await;
    assert!(packets <= 220, "{packets}");
}

/// The server comes back after it was given up: the next probe finds it, for all names.
#[tokio::test]
async fn a_silent_server_that_is_back_serves_all_names_again() {
    let dns = FakeDns::start().await.unwrap();
    dns.apply(orders(&["10.0.0.1"]));
    let silence = dns.script(Rule::any().drop());
    let resolver = pod(&dns);
    let upstreams: Vec<_> = ["orders:80", "orders.shop:80", "orders.shop.svc:80"]
        .map(|target| resolver.upstream(target).unwrap())
        .into_iter()
        .collect();
    tokio::time::sleep(Duration::from_secs(6)).await;
    dns.remove_rule(silence);
    let begun = Instant::now();
    join_all(upstreams.iter().map(|upstream| within("endpoints", upstream.ready()))).await;
    figure("F6: all names ready after a silence of 6 s, in", begun.elapsed());
    for upstream in &upstreams {
        assert_eq!(upstream.endpoints().len(), 1);
    }
}

/// Two nameservers of which the first is dead. The second one answers as a node's resolver.
async fn behind_a_dead_server(
    target: &str,
    deny: bool,
    secs: u64,
) -> (FakeDns, FakeDns, Option<discovery_core::Error>) {
    let (dead, good) = (FakeDns::start().await.unwrap(), FakeDns::start().await.unwrap());
    dead.script(Rule::any().drop());
    good.apply(orders(&["10.0.0.1"]));
    if deny {
        good.script(Rule::any().nxdomain());
    }
    let resolver = in_pod_with(&dead, "shop", []).nameservers([dead.addr(), good.addr()]);
    let resolver = resolver.families(Families::V4).build().unwrap();
    let begun = Instant::now();
    let upstream = resolver.upstream(target).unwrap();
    let answer = within("an answer", upstream.first_answer()).await.err();
    figure("T8: first nameserver silent: target, first answer", (target, begun.elapsed(), answer.is_none()));
    tokio::time::sleep(Duration::from_secs(secs).saturating_sub(begun.elapsed())).await;
    figure("T8: seconds, packets to the silent one, to the good one", (secs, dead.total(), good.total()));
    (dead, good, answer)
}

/// T8. glibc sends the silent one 3 packets in 12 s.
#[tokio::test]
async fn a_dead_first_nameserver_gets_few_packets() {
    let (dead, _, answer) = behind_a_dead_server("orders:80", false, 12).await;
    assert!(answer.is_none(), "{answer:?}");
    assert!(dead.total() <= 6, "{}", dead.total());
}

/// T8. Both were asked: the name of a host does not exist.
#[tokio::test]
async fn nxdomain_of_the_second_nameserver_for_a_host_counts_when_the_first_is_dead() {
    let (dead, _, answer) = behind_a_dead_server("db.example.com:80", true, 12).await;
    let error = answer.expect("no such name");
    assert!(error.is_not_found(), "{error}");
    assert!(dead.total() <= 6, "{}", dead.total());
}

/// T8. A probe in the background finds the first nameserver again, and no query waits for it.
#[tokio::test]
async fn a_first_nameserver_that_is_back_is_asked_first_again() {
    let (first, second) = (FakeDns::builder().ttl(0).start().await.unwrap(), dns_with_orders().await);
    first.apply(orders(&["10.0.0.1"]));
    let silence = first.script(Rule::any().drop());
    let builder = in_pod(&first, "shop").nameservers([first.addr(), second.addr()]).families(Families::V4);
    let resolver = builder.refresh(brisk()).build().unwrap();
    let _upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
    first.remove_rule(silence);
    within("queries to the first one", first.asked(|asked| !asked.dropped, 4)).await;
    let so_far = second.total();
    within("more of them", first.asked(|asked| !asked.dropped, 20)).await;
    assert!(second.total() <= so_far + 1, "{so_far} then {}", second.total());
}

/// F11. Each query in flight has one socket, and all of them together 16 for retransmissions.
#[tokio::test]
async fn retransmissions_share_a_few_sockets() {
    let dns = FakeDns::start().await.unwrap();
    dns.script(Rule::any().drop());
    let resolver = pod(&dns);
    let upstreams: Vec<_> = (0..60).map(|n| resolver.upstream(format!("orders-{n}:80").as_str()).unwrap()).collect();
    within("retransmissions", dns.asked(|_| true, 120)).await;
    let ports: BTreeSet<u16> = dns.questions().iter().map(|asked| asked.from.port()).collect();
    figure("F11: 60 queries in flight: packets, sockets", (dns.total(), ports.len()));
    drop(upstreams);
    assert!(ports.len() <= 60 + 16, "{}", ports.len());
    assert!(ports.len() > 60, "a retransmission leaves from another port if there is one");
}

/// T8. A node's resolver denies every name of the cluster.
#[tokio::test]
async fn nxdomain_of_the_second_nameserver_for_a_service_never_counts() {
    let node = FakeDns::builder().cluster_domain("elsewhere.invalid").start().await.unwrap();
    let dead = FakeDns::start().await.unwrap();
    dead.script(Rule::any().drop());
    let resolver = in_pod(&dead, "shop").nameservers([dead.addr(), node.addr()]).build().unwrap();
    for target in ["orders:80", "orders.shop:80", "orders:http"] {
        let error = refusal(&resolver, target).await;
        assert!(error.is_transient() && !error.is_not_found(), "{target}: {error}");
    }
}

/// The kernel reports a closed port: no timeout has to pass.
#[tokio::test]
async fn a_closed_port_costs_no_second() {
    let (closed, good) = (FakeDns::start().await.unwrap(), FakeDns::start().await.unwrap());
    good.apply(orders(&["10.0.0.1"]));
    closed.stop().await;
    let begun = Instant::now();
    assert!(refusal(&pod(&closed), "orders:80").await.is_transient());
    figure("a closed port, failed after", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_millis(700), "{:?}", begun.elapsed());

    let resolver = in_pod(&closed, "shop").nameservers([closed.addr(), good.addr()]).build().unwrap();
    let begun = Instant::now();
    within("an answer", resolver.resolve("orders:80")).await.unwrap();
    figure("a closed port before a good one, answered after", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_millis(700), "{:?}", begun.elapsed());
}
