//! F7: more endpoints than fit into a UDP packet, or into a message at all.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{Caller, Seen, client, expected, headless, ips, slice, steady};
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
