//! F7: more endpoints than fit into a UDP packet, or into a message at all.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Caller, Seen, client, expected, headless, in_pod, ips, slice, steady};
use crate::harness::{Cluster, Options, on_cluster};

/// A Service with so many endpoints; CoreDNS has heard of it when a caller has all of them.
async fn large(cluster: &Arc<Cluster>, count: u32) {
    client(cluster).await;
    cluster.apply_object(&headless("shop", "large")).await;
    cluster.apply_object(&slice("shop", "large", ips(count))).await;
}

/// Every set that was seen was whole: with CoreDNS's answer, as with the slice, nothing is between none and all.
fn all_whole(seen: &Seen, wanted: &[String], what: &str) {
    let lengths: Vec<usize> = seen.sets.iter().map(|(_, set)| set.len()).collect();
    assert!(seen.sets.iter().all(|(_, set)| set == wanted), "{what}: sets of {lengths:?}");
}

/// How often CoreDNS was asked since line `before` of its log, by type and transport.
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
        println!("F7: {target}, {count} endpoints: {} picks, in 2 s asked {refreshes:?}", seen.picks);
        all_whole(&seen, &wanted, target);
        // No target is asked for on its own.
        assert!(refreshes.keys().all(|kind| !kind.contains("target")), "{refreshes:?}\n{why}");
        // Once it was cut, TCP is asked straight away.
        assert!(refreshes.iter().all(|(kind, _)| !kind.ends_with(" udp")), "{refreshes:?}\n{why}");
        assert!(!refreshes.is_empty(), "{why}");
    });
}

#[test]
fn f7_three_hundred_addresses() {
    all_endpoints_are_found("http://large:8080", 300);
}

#[test]
fn f7_a_thousand_addresses() {
    all_endpoints_are_found("http://large:8080", 1000);
}

#[test]
fn f7_three_hundred_targets() {
    all_endpoints_are_found("_http._tcp.large", 300);
}

/// The SRV records fit into a TCP message, but only some of the addresses.
#[test]
fn f7_a_thousand_targets() {
    all_endpoints_are_found("_http._tcp.large", 1000);
}

/// With a long name not even the SRV records fit into a TCP message: an error that says what to do, rather than a part of
/// the set. By the port's number there is no such limit.
#[test]
fn f7_more_targets_than_fit_are_an_error_and_not_a_part_of_the_set() {
    const NAME: &str = "rates-eureka-of-which-there-are-very-many-pods";
    on_cluster(Options::default(), |cluster| async move {
        client(&cluster).await;
        cluster.apply_object(&headless("shop", NAME)).await;
        cluster.apply_object(&slice("shop", NAME, ips(1000))).await;
        let (error, explained) = cluster
            .in_pod("shop/client", |env| async move {
                let resolver = in_pod(env).build().unwrap();
                let by_number = resolver.upstream(format!("{NAME}:8080").as_str()).unwrap();
                tests::until(&by_number, "all of them", |set| set.len() == 1000).await;
                let by_name = resolver.upstream(format!("{NAME}:http").as_str()).unwrap();
                let error = by_name.first_answer().await.expect_err("not a part of them");
                assert!(by_name.endpoints().is_empty());
                (error.clone(), by_name.explain().to_string())
            })
            .await;
        println!("F7: 1000 endpoints of a long name over SRV: {error}");
        assert!(error.is_transient() && explained.contains("by its number"), "{error:?}\n{explained}");
    });
}

/// UDP or TCP is lost: the last good set stays, and nobody sees an error.
fn what_is_lost(rule: &'static str) {
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
            println!("F7: {rule} lost, {target}: stale {}", caller.upstream.endpoints().is_stale());
            // A question that can go neither way says so.
            if stays_fresh {
                assert!(!caller.upstream.endpoints().is_stale(), "{why}");
            } else {
                assert!(caller.upstream.endpoints().is_stale() && why.contains("stale"), "{why}");
            }
            drop(dropping);
            caller.until("fresh", |upstream| !upstream.endpoints().is_stale()).await;
            let seen = caller.end().await;
            all_whole(&seen, wanted, target);
        }
    });
}

#[test]
fn f7_udp_is_lost() {
    what_is_lost("udp dport 53");
}

#[test]
fn f7_tcp_is_lost() {
    what_is_lost("tcp dport 53");
}
