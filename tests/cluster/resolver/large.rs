//! Services with more endpoints than fit into a UDP packet, or even into a DNS message (`docs/failure-modes.md`, F7).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Caller, Observations, client, expected, headless, in_pod, ips, slice, steady};
use crate::harness::{Cluster, Options, on_cluster};

/// Creates a Service with `count` endpoints. CoreDNS is synced when a caller has all of them.
async fn large(cluster: &Arc<Cluster>, count: u32) {
    client(cluster).await;
    cluster.apply_object(&headless("shop", "large")).await;
    cluster.apply_object(&slice("shop", "large", ips(count))).await;
}

/// Asserts that every set was complete. CoreDNS gets all endpoints in one slice, so it never answers with a part of
/// them.
fn assert_all_complete(seen: &Observations, wanted: &[String], what: &str) {
    let lengths: Vec<usize> = seen.sets.iter().map(|(_, set)| set.len()).collect();
    assert!(seen.sets.iter().all(|(_, set)| set == wanted), "{what}: sets of {lengths:?}");
}

/// The number of questions that CoreDNS logged after line `before`, by type and transport.
fn asked(cluster: &Cluster, before: usize) -> BTreeMap<String, usize> {
    let mut asked = BTreeMap::new();
    for line in cluster.log("coredns-0").iter().skip(before) {
        let Some((_, question)) = line.split_once('"') else { continue };
        let words: Vec<&str> = question.split(' ').collect();
        let [rtype, _, name, transport, ..] = words[..] else { continue };
        let kind =
            if name.starts_with("_http._tcp.large.") || name.starts_with("large.") { "" } else { " of a target" };
        *asked.entry(format!("{rtype}{kind} by {transport}")).or_default() += 1;
    }
    asked
}

fn all_endpoints_are_found(target: &'static str, count: u32) {
    on_cluster(Options::default(), move |cluster| async move {
        large(&cluster, count).await;
        let wanted = expected(count);
        let caller = Caller::start(&cluster, target, steady()).await;
        caller.until_set(&wanted).await;
        let before = cluster.log("coredns-0").len();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let refreshes = asked(&cluster, before);
        let why = caller.upstream.explain().to_string();
        let seen = caller.end().await;
        println!("F7: {target}, {count} endpoints: {} picks, questions in 2 s: {refreshes:?}", seen.picks);
        assert_all_complete(&seen, &wanted, target);
        // The targets of SRV records need no questions of their own.
        assert!(refreshes.keys().all(|kind| !kind.contains("target")), "{refreshes:?}\n{why}");
        // After a truncated answer, later refreshes use TCP at once.
        assert!(refreshes.iter().all(|(kind, _)| !kind.ends_with(" udp")), "{refreshes:?}\n{why}");
        assert!(!refreshes.is_empty(), "{why}");
    });
}

/// F7.
#[test]
fn finds_three_hundred_addresses() {
    all_endpoints_are_found("http://large:8080", 300);
}

/// F7.
#[test]
fn finds_a_thousand_addresses() {
    all_endpoints_are_found("http://large:8080", 1000);
}

/// F7.
#[test]
fn finds_three_hundred_srv_targets() {
    all_endpoints_are_found("_http._tcp.large", 300);
}

/// F7: all SRV records fit into a TCP message, but only some of their addresses.
#[test]
fn finds_a_thousand_srv_targets() {
    all_endpoints_are_found("_http._tcp.large", 1000);
}

/// F7: with a long name, not even the SRV records fit into a TCP message. The resolver returns an error that says what
/// to do instead of a part of the set. The limit does not apply to a target with a port number.
#[test]
fn more_srv_targets_than_fit_into_a_message_are_an_error() {
    const NAME: &str = "rates-eureka-of-which-there-are-very-many-pods";
    on_cluster(Options::default(), |cluster| async move {
        client(&cluster).await;
        cluster.apply_object(&headless("shop", NAME)).await;
        cluster.apply_object(&slice("shop", NAME, ips(1000))).await;
        let (error, explained) = cluster
            .in_pod("shop/client", |env| async move {
                let resolver = in_pod(env).build().unwrap();
                let by_number = resolver.upstream(format!("{NAME}:8080").as_str()).unwrap();
                tests::until(&by_number, "1000 endpoints", |set| set.len() == 1000).await;
                let by_name = resolver.upstream(format!("{NAME}:http").as_str()).unwrap();
                let error = by_name.first_answer().await.expect_err("an error instead of a part of the set");
                assert!(by_name.endpoints().is_empty());
                (error.clone(), by_name.explain().to_string())
            })
            .await;
        println!("F7: SRV for 1000 endpoints with a long name: {error}");
        assert!(error.is_transient() && explained.contains("do not fit into 64 KiB"), "{error:?}\n{explained}");
    });
}

/// F7: all packets of one transport are lost. The last good set stays, and no pick fails.
fn keeps_endpoints_while_packets_are_lost(rule: &'static str) {
    on_cluster(Options::default(), move |cluster| async move {
        large(&cluster, 300).await;
        let (many, few) = (expected(300), expected(3));
        for (target, wanted, stays_fresh) in [
            ("http://large:8080", &many, rule.starts_with("udp")),
            ("http://small:8080", &few, rule.starts_with("tcp")),
        ] {
            cluster.apply_object(&headless("shop", "small")).await;
            cluster.apply_object(&slice("shop", "small", ips(3))).await;
            let caller = Caller::start(&cluster, target, steady()).await;
            caller.until_set(wanted).await;
            let dropping = cluster.drop_packets(rule);
            if !stays_fresh {
                caller.until("stale", |upstream| upstream.endpoints().is_stale()).await;
            }
            tokio::time::sleep(Duration::from_secs(4)).await;
            let why = caller.upstream.explain().to_string();
            println!("F7: {rule} dropped, {target}: stale {}", caller.upstream.endpoints().is_stale());
            // The set is stale only if the lost transport is the one that its answer needs.
            if stays_fresh {
                assert!(!caller.upstream.endpoints().is_stale(), "{why}");
            } else {
                assert!(caller.upstream.endpoints().is_stale() && why.contains("stale"), "{why}");
            }
            drop(dropping);
            caller.until("fresh", |upstream| !upstream.endpoints().is_stale()).await;
            let seen = caller.end().await;
            assert_all_complete(&seen, wanted, target);
        }
    });
}

#[test]
fn keeps_endpoints_while_udp_is_lost() {
    keeps_endpoints_while_packets_are_lost("udp dport 53");
}

#[test]
fn keeps_endpoints_while_tcp_is_lost() {
    keeps_endpoints_while_packets_are_lost("tcp dport 53");
}
