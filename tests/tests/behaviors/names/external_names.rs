//! F16: Services that are aliases.

use discovery_testing::{FakeDns, QType, Rule, Service};
use tests::{ORDERS, addrs, eventually, figure, ips, orders, refusal, until, within};

use crate::support::dns::{asked_again, dns, evidence, pod, pod_with};

const DB: &str = "db.shop.svc.cluster.local";

/// A DNS server on which `db` is an alias of a host with one address.
async fn dns_with_alias() -> FakeDns {
    let dns = dns().await;
    dns.apply(Service::external_name("shop", "db", "db.example.com"));
    dns.record("db.example.com", "192.0.2.7");
    dns
}

/// F16. The alias has the TTL of the zone, the target has its own.
#[tokio::test]
async fn uses_the_smaller_ttl_of_alias_and_target() {
    for (alias, target) in [(30, 7), (7, 30)] {
        let dns = dns_with_alias().await;
        dns.set_ttl(alias);
        dns.record_ttl("db.example.com", target);
        let upstream = within("an answer", pod(&dns).resolve("db:5432")).await.unwrap();
        assert_eq!(addrs(&upstream.endpoints()), ["192.0.2.7:5432"]);
        eventually(&upstream, "the explanation", |upstream| evidence(upstream).contains("TTL 7s")).await;
        assert!(!evidence(&upstream).contains("TTL 30s"), "{}", evidence(&upstream));
        figure("F16: TTL of alias, of target, used", (alias, target, 7));
    }
}

/// F16. One TTL is an hour, the other 0, and refreshes continue. The longest pause would be half a minute.
#[tokio::test]
async fn refreshes_by_the_smaller_ttl() {
    for (alias, target) in [(3600, 0), (0, 3600)] {
        let dns = dns_with_alias().await;
        dns.set_ttl(alias);
        dns.record_ttl("db.example.com", target);
        let upstream = within("an answer", pod(&dns).resolve("db:5432")).await.unwrap();
        asked_again(&dns, 5).await;
        assert_eq!(upstream.endpoints().version(), 1);
    }
}

/// `db` is an alias of `c1` and so on: `links` CNAMEs in all.
fn chain(dns: &FakeDns, links: usize) {
    dns.apply(Service::external_name("shop", "db", "c1.example.com"));
    for link in 1..links {
        dns.cname(&format!("c{link}.example.com"), &format!("c{}.example.com", link + 1));
    }
    dns.record(&format!("c{links}.example.com"), "192.0.2.7");
}

/// F16.
#[tokio::test]
async fn follows_a_chain_of_up_to_8_cnames() {
    for links in [1, 2, 8] {
        let dns = dns().await;
        chain(&dns, links);
        let upstream = within("an answer", pod(&dns).resolve("db:5432")).await.unwrap();
        assert_eq!(addrs(&upstream.endpoints()), ["192.0.2.7:5432"], "{links}");
    }
}

/// F16.
#[tokio::test]
async fn a_chain_of_9_cnames_is_an_error() {
    let dns = dns().await;
    chain(&dns, 9);
    let error = refusal(&pod(&dns), "db:5432").await;
    assert!(!error.is_not_found(), "{error}");
    figure("F16: chain of 9", error.to_string());
    assert!(dns.total() <= 2, "{:?}", dns.questions());
}

/// F16.
#[tokio::test]
async fn a_cname_loop_is_an_error() {
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

/// F16. The server answers NODATA to a loop within the cluster; the resolver does not follow it endlessly.
#[tokio::test]
async fn a_cname_loop_within_the_cluster_is_an_error() {
    let dns = dns().await;
    dns.apply(Service::external_name("shop", "db", "db2.shop.svc.cluster.local"));
    dns.apply(Service::external_name("shop", "db2", DB));
    let error = refusal(&pod(&dns), "db:5432").await;
    assert!(error.is_no_endpoints(), "{error}");
    assert_eq!(dns.count(DB, QType::A), 1);
}

/// F16. CoreDNS answers with the CNAME alone while the target does not exist. The resolver queries the target once.
#[tokio::test]
async fn an_alias_without_a_target_resolves_when_the_target_appears() {
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

/// F16. While its upstream is out of reach, the server answers NODATA, which needs a confirmation like any negative
/// answer.
#[tokio::test]
async fn keeps_endpoints_while_the_target_cannot_be_queried() {
    let dns = dns_with_alias().await;
    let upstream = within("an answer", pod(&dns).resolve("db:5432")).await.unwrap();
    dns.forget();
    dns.upstream_down(true);
    within("the no", dns.asked(|_| true, 1)).await;
    dns.upstream_down(false);
    asked_again(&dns, 2).await;
    assert_eq!((upstream.endpoints().version(), upstream.endpoints().len()), (1, 1));
}

/// F16. "An ExternalName that looks like an IPv4 address is a name made of digits" (Kubernetes documentation). CoreDNS
/// has no record for such a Service; it has one for a target that another alias leads to.
#[tokio::test]
async fn an_external_name_that_looks_like_an_address_is_a_name() {
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

/// F16.
#[tokio::test]
async fn follows_a_target_that_moves() {
    let dns = dns_with_alias().await;
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
    dns.apply(orders(&["10.0.0.1"]));
    dns.apply(Service::external_name("shop", "db", ORDERS));
    until(&upstream, "the Service", |set| ips(set) == ["10.0.0.1"]).await;
    // The target keeps the name that was asked for, for Host and SNI.
    assert_eq!(upstream.target().to_string(), "db:5432");
}

/// F16. The server copies the upstream's TC bit.
#[tokio::test]
async fn retries_a_truncated_alias_over_tcp() {
    let dns = dns_with_alias().await;
    dns.record("db.example.com", "192.0.2.8");
    dns.script(Rule::any().truncate_to(1));
    let quick = [("DISCOVERY_DNS_TIMEOUT", "1s")];
    let resolver = pod_with(&dns, &quick).build().unwrap();
    let upstream = within("an answer", resolver.resolve("db:5432")).await.unwrap();
    assert_eq!(ips(&upstream.endpoints()), ["192.0.2.7", "192.0.2.8"]);
}
