//! Addresses, localhost and hosts outside the cluster.

use std::{sync::Arc, time::Duration};

use discovery_core::{context::Families, policy::Outcome};
use discovery_testing::FakeDns;
use futures_util::FutureExt as _;
use tests::{addrs, brisk, until, within};

use crate::support::dns::{dns, dual_stack_pod, pod, pod_with_lines};

/// T5. With `ndots:5` a literal has too few dots to be queried as it stands.
#[tokio::test]
async fn sends_no_query_for_address_literals() {
    let dns = FakeDns::start().await.unwrap();
    let settings = brisk().with_failure_refresh_min(Duration::from_millis(20));
    let resolver = pod_with_lines(&dns, "", &[]).families(Families::Both).refresh(settings).build().unwrap();
    for (target, expected) in [
        ("10.1.2.3", &["10.1.2.3:0"][..]),
        ("10.1.2.3:80", &["10.1.2.3:80"]),
        ("10.1.2.3.:80", &["10.1.2.3:80"]),
        ("http://10.1.2.3/", &["10.1.2.3:80"]),
        ("[2001:db8::1]:8080", &["[2001:db8::1]:8080"]),
        ("2001:db8::1", &["[2001:db8::1]:0"]),
        ("http://[::ffff:10.1.2.3]:81/", &["10.1.2.3:81"]),
        ("::ffff:a01:203", &["10.1.2.3:0"]),
        ("https://[2001:db8::1]/x", &["[2001:db8::1]:443"]),
        ("localhost:80", &["127.0.0.1:80", "[::1]:80"]),
        ("http://api.localhost:81", &["127.0.0.1:81", "[::1]:81"]),
    ] {
        let upstream = within(target, resolver.resolve(target)).await.unwrap();
        assert_eq!(addrs(&upstream.endpoints()), expected, "{target}");
        let before = upstream.explain();
        upstream.refresh();
        let asked_again = async {
            while Arc::ptr_eq(&before, &upstream.explain()) {
                tokio::task::yield_now().await
            }
        };
        within(target, asked_again).await;
    }
    assert_eq!(dns.total(), 0);
}

/// RFC 4291 2.5.5.2: `::ffff:192.0.2.7` is 192.0.2.7 in whatever record it comes, and `::ffff:0.0.0.0` leads back to this
/// machine as 0.0.0.0 does.
#[tokio::test]
async fn an_ipv4_mapped_address_is_the_ipv4_address() {
    let dns = dns().await;
    for (name, ips) in [
        ("db.example.com", &["192.0.2.7", "::ffff:192.0.2.7"][..]),
        ("dual.example.com", &["192.0.2.7", "::ffff:192.0.2.7", "2001:db8::7"]),
        ("zero.example.com", &["192.0.2.7", "::ffff:0.0.0.0"]),
    ] {
        ips.iter().for_each(|ip| dns.record(name, *ip));
    }
    dns.srv("_http._tcp.api.example.com", 0, 1, 81, "dual.example.com");
    dns.srv("_http._tcp.api.example.com", 0, 1, 82, "zero.example.com");
    let resolver = dual_stack_pod(&dns);
    for (target, expected) in [
        ("db.example.com:80", &["192.0.2.7:80"][..]),
        ("dual.example.com:80", &["192.0.2.7:80", "[2001:db8::7]:80"]),
        ("zero.example.com:80", &["192.0.2.7:80"]),
        ("_http._tcp.api.example.com", &["192.0.2.7:81", "192.0.2.7:82", "[2001:db8::7]:81"]),
    ] {
        let upstream = within(target, resolver.resolve(target)).await.unwrap();
        until(&upstream, target, |set| addrs(set) == expected).await;
    }
}

#[tokio::test]
async fn external_hosts_localhost_and_addresses_are_upstreams_too() {
    let dns = dns().await;
    dns.record("db.example.com", "192.0.2.7");
    let resolver = pod(&dns);
    for (target, first, winner) in [
        ("db.example.com:5432", "192.0.2.7:5432", "dns"),
        ("postgres://db.example.com:5432/x", "192.0.2.7:5432", "dns"),
        ("localhost:5432", "127.0.0.1:5432", "fixed"),
        ("10.1.2.3:5432", "10.1.2.3:5432", "fixed"),
        ("[2001:db8::1]:5432", "[2001:db8::1]:5432", "fixed"),
    ] {
        let upstream = within(target, resolver.resolve(target)).await.unwrap();
        let pick = upstream.pick().unwrap();
        assert_eq!(pick.endpoint().addr().to_string(), first, "{target}");
        pick.complete(Outcome::Success, std::time::Instant::now());
        assert_eq!(upstream.watch().next().now_or_never().map(|set| set.len()), Some(1), "{target}");
        assert_eq!(upstream.explain().winner, Some(winner), "{target}");
        within(target, upstream.ready()).await.unwrap();
        assert_eq!(resolver.active(), 1);
    }
    let db = within("db", resolver.resolve("db.example.com:5432")).await.unwrap();
    dns.record("db.example.com", "192.0.2.8");
    until(&db, "the second address", |set| set.len() == 2).await;
}
