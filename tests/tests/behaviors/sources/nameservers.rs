//! T8: several nameservers, of which only some know the cluster.

use std::time::Duration;

use discovery_core::ResolverBuilder;
use discovery_testing::{FakeDns, Pod, Rule, Service};
use tests::{ORDERS, addrs, brisk, in_pod_with, orders, refusal, within};

use crate::support::dns::Fails;

/// A single transmission: the timeout ends before the first retransmission.
const ONE_TRANSMISSION: [(&str, &str); 2] = [("DISCOVERY_DNS_TIMEOUT", "100ms"), ("DISCOVERY_DNS_ATTEMPTS", "1")];

async fn dns() -> FakeDns {
    FakeDns::start().await.unwrap()
}

/// `orders` with two pods.
fn two_orders() -> Service {
    orders(&["10.0.0.1", "10.0.0.2"])
}

/// A node's nameserver. It is not authoritative for the cluster zone: what it denies, it denies in the name of the root
/// (`.local` is not delegated).
async fn node_resolver() -> FakeDns {
    FakeDns::builder().cluster_domain("elsewhere.invalid").start().await.unwrap()
}

/// The cluster's DNS server, and a node's nameserver that denies every cluster name and is always faster.
async fn cluster_and_node(deny: Fails) -> (FakeDns, FakeDns) {
    let (cluster, node) = (dns().await, node_resolver().await);
    cluster.apply(two_orders());
    node.script(deny(Rule::any()));
    (cluster, node)
}

/// A resolver of a pod with two nameservers, in this order.
fn with_both(first: &FakeDns, second: &FakeDns, vars: &[(&str, &str)]) -> ResolverBuilder {
    in_pod_with(first, "shop", vars.iter().copied()).nameservers([first.addr(), second.addr()])
}

/// T8.
#[tokio::test]
async fn waits_for_a_slow_first_nameserver() {
    for deny in [Rule::nxdomain as Fails, Rule::nodata] {
        let (cluster, node) = cluster_and_node(deny).await;
        cluster.script(Rule::any().delay(Duration::from_millis(300)));
        let resolver = with_both(&cluster, &node, &[("DISCOVERY_DNS_TIMEOUT", "10s")]).build().unwrap();
        let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
        assert_eq!((upstream.endpoints().len(), node.total()), (2, 0));
    }
}

/// T8.
#[tokio::test]
async fn a_negative_answer_of_a_fallback_nameserver_never_wins() {
    for deny in [Rule::nxdomain as Fails, Rule::nodata] {
        for (what, fails) in [
            ("SERVFAIL", Some(Rule::servfail as Fails)),
            ("REFUSED", Some(Rule::refuse)),
            ("silent", Some(Rule::drop)),
            ("garbage", Some(Rule::garbage)),
            ("dead", None),
        ] {
            let (cluster, node) = cluster_and_node(deny).await;
            match fails {
                Some(fails) => drop(cluster.script(fails(Rule::any()))),
                None => cluster.stop().await,
            }
            let resolver = with_both(&cluster, &node, &ONE_TRANSMISSION).refresh(brisk()).build().unwrap();
            // By the second time a silent server is known, and the other one is queried first.
            for _ in 0..2 {
                let error = refusal(&resolver, "orders:80").await;
                assert!(error.is_transient() && !error.is_not_found() && !error.is_no_endpoints(), "{what}: {error}");
            }
            assert!(node.total() > 0, "{what}: the node was queried, and its answer ignored");

            let upstream = resolver.upstream("orders:80").unwrap();
            cluster.clear_script();
            cluster.restart().await.unwrap();
            within(what, upstream.ready()).await.unwrap();
        }
    }
}

/// T8. The first nameserver was dead. The answer to another query shows that it is back, while the second nameserver is
/// still about to deny this name.
#[tokio::test]
async fn ignores_a_late_negative_answer_once_the_first_nameserver_is_back() {
    let (cluster, node) = (dns().await, node_resolver().await);
    cluster.apply(two_orders());
    cluster.stop().await;
    node.script(Rule::any().name(ORDERS).delay(Duration::from_millis(400)).nxdomain());
    node.script(Rule::any().nxdomain());
    let vars = [("DISCOVERY_DNS_TIMEOUT", "800ms"), ("DISCOVERY_DNS_ATTEMPTS", "1")];
    let resolver = with_both(&cluster, &node, &vars).build().unwrap();
    assert!(refusal(&resolver, "other-1:80").await.is_transient(), "from now on the node is queried first");

    let upstream = resolver.upstream("orders:80").unwrap();
    within("a query to the node", node.asked(|asked| asked.name.starts_with("orders"), 1)).await;
    cluster.restart().await.unwrap();
    let third = refusal(&resolver, "other-2:80").await;
    assert!(third.is_not_found(), "the first nameserver denies it: {third}");
    if let Err(error) = within("an answer", upstream.first_answer()).await {
        assert!(!error.is_not_found(), "the negative answer of the node won: {error}");
    }
    within("endpoints", upstream.ready()).await.unwrap();
    assert_eq!(upstream.endpoints().len(), 2);
}

/// T8.
#[tokio::test]
async fn trusts_a_negative_answer_of_the_first_nameserver() {
    let (cluster, other) = (dns().await, dns().await);
    other.apply(two_orders());
    let resolver = with_both(&cluster, &other, &[]).build().unwrap();
    assert!(refusal(&resolver, "orders:80").await.is_not_found());
    assert_eq!(other.total(), 0);
}

/// T8.
#[tokio::test]
async fn fails_over_from_a_dead_nameserver_to_a_good_one() {
    let (dead, good) = (dns().await, dns().await);
    good.apply(two_orders());
    good.apply(Service::headless("shop", "billing").port("http", 80).pod(Pod::new("10.0.1.1")));
    dead.script(Rule::any().drop());
    let resolver = with_both(&dead, &good, &ONE_TRANSMISSION).build().unwrap();
    let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
    assert_eq!(upstream.endpoints().len(), 2);
    assert_eq!((dead.total(), good.total()), (1, 2), "the good one is asked for the cluster's own record, too");
    within("an answer", resolver.resolve("billing:80")).await.unwrap();
    assert_eq!(
        (dead.total(), good.total()),
        (1, 3),
        "the next query goes to the good server first, and is the only one"
    );
}

/// T8. Two replicas of the cluster's DNS server have addresses of their own. Behind a dead replica the negative answer
/// of the other counts; otherwise `service.namespace` would never get past its first candidate, a pod of the own
/// namespace.
#[tokio::test]
async fn trusts_a_second_nameserver_that_is_authoritative_for_the_cluster_zone() {
    for (what, fails, dead) in
        [("silent", Rule::drop as Fails, true), ("SERVFAIL", Rule::servfail, false), ("REFUSED", Rule::refuse, false)]
    {
        let (first, good) = (dns().await, dns().await);
        good.apply(Service::headless("billing", "orders").port("http", 8080).pod(Pod::new("10.0.1.1")));
        first.script(fails(Rule::any()));
        let resolver = with_both(&first, &good, &ONE_TRANSMISSION).build().unwrap();
        let upstream = within("an answer", resolver.resolve("orders.billing:80")).await.expect(what);
        assert_eq!(addrs(&upstream.endpoints()), ["10.0.1.1:80"], "{what}");
        assert!(refusal(&resolver, "nowhere:80").await.is_not_found(), "{what}");
        // Outside the cluster zone a first nameserver that responds may know names that the second one does not.
        assert_eq!(refusal(&resolver, "db.example.com:80").await.is_not_found(), dead, "{what}");
    }
}

/// A captive portal, or a wildcard, that answers every name with its own address, texts included.
async fn portal() -> FakeDns {
    let portal = node_resolver().await;
    for name in ["orders.shop.svc.cluster.local", "www.example.com"] {
        portal.record(name, "203.0.113.9");
    }
    portal.srv("_http._tcp.orders.shop.svc.cluster.local", 0, 1, 80, "www.example.com");
    portal.txt("dns-version.cluster.local", "v=spf1 -all");
    portal
}

/// The first nameserver is silent or fails, and the second one answers everything. Neither the first answer nor a later
/// one may come from it, and a set that is known stays.
#[tokio::test]
async fn a_captive_portal_behind_the_cluster_nameserver_never_answers_for_a_service() {
    for fails in [Rule::servfail as Fails, Rule::refuse, Rule::drop] {
        let (cluster, portal) = (dns().await, portal().await);
        cluster.apply(two_orders());
        let resolver = with_both(&cluster, &portal, &ONE_TRANSMISSION).refresh(brisk()).build().unwrap();
        let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
        cluster.script(fails(Rule::any()));
        tests::until_stale(&upstream).await;
        assert_eq!(addrs(&upstream.endpoints()), ["10.0.0.1:80", "10.0.0.2:80"]);
        for target in ["orders.shop.svc:80", "orders:http"] {
            let error = refusal(&resolver, target).await;
            assert!(error.is_transient() && !error.is_not_found(), "{target}: {error}");
        }
        let error = refusal(&resolver, "orders.shop.svc:80").await.to_string();
        assert!(error.contains("has not proved that it serves the cluster's zone"), "{error}");

        let host = within("a host", resolver.resolve("www.example.com.:80")).await.unwrap();
        assert_eq!(addrs(&host.endpoints()), ["203.0.113.9:80"], "the portal still answers for hosts");
    }
}

/// Its answer to the query for the cluster domain is a text, but not a version.
#[tokio::test]
async fn the_text_of_a_wildcard_does_not_make_a_cluster() {
    let portal = portal().await;
    let environment = discovery_core::Environment::empty().with_env([("POD_NAMESPACE", "shop")]);
    let builder = discovery_core::Resolver::builder().environment(environment).nameservers([portal.addr()]);
    let resolver = builder.families(discovery_core::plan::Families::V4).build().unwrap();
    let error = refusal(&resolver, "orders.shop.svc:80").await;
    assert!(error.is_config() && error.to_string().contains("DISCOVERY_CLUSTER_DOMAIN"), "{error}");
}
