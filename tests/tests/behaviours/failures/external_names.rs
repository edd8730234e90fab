//! F16: Services that are aliases.

use discovery_testing::{QType, Rule, Service};
use tests::{addrs, until};

use super::{asked_again, dns, evidence, figure, ips, pod, pod_with, refusal, within};

const DB: &str = "db.shop.svc.cluster.local";

/// The TTL of the alias is the zone's, the target has one of its own.
#[tokio::test]
async fn f16_the_smaller_of_both_ttls_is_used() {
    for (alias, target) in [(30, 7), (7, 30)] {
        let dns = dns().await;
        dns.set_ttl(alias);
        dns.apply(Service::external_name("shop", "db", "db.example.com"));
        dns.record("db.example.com", "192.0.2.7");
        dns.record_ttl("db.example.com", target);
        let upstream = within("an answer", pod(&dns).resolve("db:5432")).await.unwrap();
        assert_eq!(addrs(&upstream.endpoints()), ["192.0.2.7:5432"]);
        super::eventually(&upstream, "the explanation", |upstream| evidence(upstream).contains("TTL 7s")).await;
        assert!(!evidence(&upstream).contains("TTL 30s"), "{}", evidence(&upstream));
        figure("F16: TTL of alias, of target, used", (alias, target, 7));
    }
}

/// An hour for the one, nothing for the other: refreshes go on. The longest pause would be half a minute.
#[tokio::test]
async fn f16_refreshes_follow_the_smaller_ttl() {
    for (alias, target) in [(3600, 0), (0, 3600)] {
        let dns = dns().await;
        dns.set_ttl(alias);
        dns.apply(Service::external_name("shop", "db", "db.example.com"));
        dns.record("db.example.com", "192.0.2.7");
        dns.record_ttl("db.example.com", target);
        let upstream = within("an answer", pod(&dns).resolve("db:5432")).await.unwrap();
        asked_again(&dns, 5).await;
        assert_eq!(upstream.endpoints().version(), 1);
    }
}

/// `db` is an alias of `c1`, and so on: `links` CNAMEs in all.
fn chain(dns: &discovery_testing::FakeDns, links: usize) {
    dns.apply(Service::external_name("shop", "db", "c1.example.com"));
    for link in 1..links {
        dns.cname(&format!("c{link}.example.com"), &format!("c{}.example.com", link + 1));
    }
    dns.record(&format!("c{links}.example.com"), "192.0.2.7");
}

#[tokio::test]
async fn f16_a_chain_of_up_to_8_cnames_is_followed() {
    for links in [1, 2, 8] {
        let dns = dns().await;
        chain(&dns, links);
        let upstream = within("an answer", pod(&dns).resolve("db:5432")).await.unwrap();
        assert_eq!(addrs(&upstream.endpoints()), ["192.0.2.7:5432"], "{links}");
    }
}

#[tokio::test]
async fn f16_a_longer_chain_is_an_error() {
    let dns = dns().await;
    chain(&dns, 9);
    let error = refusal(&pod(&dns), "db:5432").await;
    assert!(!error.is_not_found(), "{error}");
    figure("F16: chain of 9", error.to_string());
    assert!(dns.total() <= 2, "{:?}", dns.questions());
}

#[tokio::test]
async fn f16_a_loop_is_an_error() {
    let dns = dns().await;
    dns.apply(Service::external_name("shop", "db", "a.example.com"));
    dns.cname("a.example.com", "b.example.com");
    dns.cname("b.example.com", "a.example.com");
    let resolver = pod(&dns);
    for target in ["db:5432", "a.example.com.:5432"] {
        let error = refusal(&resolver, target).await;
        assert!(!error.is_not_found() && !error.is_no_endpoints(), "{target}: {error}");
        figure("F16: loop", error.to_string());
    }
}

/// The server answers a loop within the cluster with NODATA: nothing to go on with, and no endless questions.
#[tokio::test]
async fn f16_a_loop_within_the_cluster_is_an_error() {
    let dns = dns().await;
    dns.apply(Service::external_name("shop", "db", "db2.shop.svc.cluster.local"));
    dns.apply(Service::external_name("shop", "db2", DB));
    let error = refusal(&pod(&dns), "db:5432").await;
    assert!(error.is_no_endpoints(), "{error}");
    assert_eq!(dns.count(DB, QType::A), 1);
}

/// CoreDNS answers with the CNAME alone when the target does not exist: the target is asked for, once.
#[tokio::test]
async fn f16_an_alias_of_nothing_is_not_found_until_the_target_appears() {
    let dns = dns().await;
    dns.apply(Service::external_name("shop", "db", "db.example.com"));
    let resolver = pod(&dns);
    let error = refusal(&resolver, "db:5432").await;
    assert!(!error.is_transient(), "{error}");
    assert!(dns.count("db.example.com", QType::A) >= 1);
    let upstream = resolver.upstream("db:5432").unwrap();
    dns.record("db.example.com", "192.0.2.7");
    within("the target", upstream.ready()).await.unwrap();
    assert_eq!(addrs(&upstream.endpoints()), ["192.0.2.7:5432"]);
}

/// The upstream is out of reach: the server says NODATA, which is a "no" and is confirmed like one.
#[tokio::test]
async fn f16_a_target_that_cannot_be_asked_for_a_moment_stays() {
    let dns = dns().await;
    dns.apply(Service::external_name("shop", "db", "db.example.com"));
    dns.record("db.example.com", "192.0.2.7");
    let upstream = within("an answer", pod(&dns).resolve("db:5432")).await.unwrap();
    dns.forget();
    dns.upstream_down(true);
    within("the no", dns.asked(|_| true, 1)).await;
    dns.upstream_down(false);
    asked_again(&dns, 2).await;
    assert_eq!((upstream.endpoints().version(), upstream.endpoints().len()), (1, 1));
}

/// "An ExternalName that looks like an IPv4 address is a name made of digits" (Kubernetes documentation). CoreDNS has
/// no record for the Service; for a target that comes by another alias it has.
#[tokio::test]
async fn f16_an_external_name_that_looks_like_an_address_is_a_name() {
    let dns = dns().await;
    dns.apply(Service::external_name("shop", "digits", "10.0.0.1"));
    dns.apply(Service::external_name("shop", "db", "digits.example.com"));
    dns.cname("digits.example.com", "10.0.0.1");
    let resolver = pod(&dns);
    assert!(refusal(&resolver, "digits:5432").await.is_not_found());
    assert!(!refusal(&resolver, "db:5432").await.is_transient());
    dns.record("10.0.0.1", "192.0.2.7");
    let upstream = resolver.upstream("db:5432").unwrap();
    within("the target", upstream.ready()).await.unwrap();
    assert_eq!(addrs(&upstream.endpoints()), ["192.0.2.7:5432"]);
}

#[tokio::test]
async fn f16_a_target_that_moves_is_followed() {
    let dns = dns().await;
    dns.apply(Service::external_name("shop", "db", "db.example.com"));
    dns.record("db.example.com", "192.0.2.7");
    let upstream = within("an answer", pod(&dns).resolve("db:5432")).await.unwrap();
    // Another address of the same name.
    dns.remove_record("db.example.com");
    dns.record("db.example.com", "192.0.2.8");
    until(&upstream, "the new address", |set| ips(set) == ["192.0.2.8"]).await;
    // Another name.
    dns.record("db2.example.com", "192.0.2.9");
    dns.apply(Service::external_name("shop", "db", "db2.example.com"));
    until(&upstream, "the new target", |set| ips(set) == ["192.0.2.9"]).await;
    // Into the cluster.
    dns.apply(super::orders(&["10.0.0.1"]));
    dns.apply(Service::external_name("shop", "db", super::ORDERS));
    until(&upstream, "the Service", |set| ips(set) == ["10.0.0.1"]).await;
    // The name that was asked for stays what it was, for Host and SNI.
    assert_eq!(upstream.target().to_string(), "db:5432");
}

/// The upstream's TC is copied.
#[tokio::test]
async fn f16_a_truncated_alias_is_asked_for_over_tcp() {
    let dns = dns().await;
    dns.apply(Service::external_name("shop", "db", "db.example.com"));
    dns.record("db.example.com", "192.0.2.7");
    dns.record("db.example.com", "192.0.2.8");
    dns.script(Rule::any().truncate_to(1));
    let quick = [("DISCOVERY_DNS_TIMEOUT", "1s")];
    let resolver = pod_with(&dns, &quick).build().unwrap();
    let upstream = within("an answer", resolver.resolve("db:5432")).await.unwrap();
    assert_eq!(ips(&upstream.endpoints()), ["192.0.2.7", "192.0.2.8"]);
}
