//! F12: a failure masked by the next candidate. F13: names that end up in the node's search domains.

use discovery_testing::{FakeDns, Pod, QType, Rule, Service};
use tests::addrs;

use super::{Fails, dns, figure, pod, pod_with, refusal, within};

/// `orders.billing` in a pod of `shop`, in the order of asking.
const FIRST: &str = "orders.billing.shop.svc.cluster.local";
const SECOND: &str = "orders.billing.svc.cluster.local";

fn in_billing() -> Service {
    Service::headless("billing", "orders").port("http", 80).pod(Pod::new("10.0.0.2"))
}

/// The other candidates would have been denied, which would have been "not found"; or, worse, found.
#[tokio::test]
async fn f12_a_failure_of_the_first_candidate_ends_the_walk_and_is_transient() {
    for (what, fails) in [
        ("SERVFAIL", Rule::servfail as Fails),
        ("REFUSED", Rule::refuse),
        ("lost", Rule::drop),
        ("garbage", Rule::garbage),
    ] {
        let dns = dns().await;
        dns.apply(in_billing());
        dns.script(fails(Rule::any().name(FIRST)));
        let resolver = pod_with(&dns, &[("DISCOVERY_DNS_TIMEOUT", "200ms")]).build().unwrap();
        let error = refusal(&resolver, "orders.billing:80").await;
        assert!(error.is_transient() && !error.is_not_found() && !error.is_no_endpoints(), "{what}: {error}");
        let others = dns.questions().iter().filter(|asked| asked.name.trim_end_matches('.') != FIRST).count();
        assert_eq!(others, 0, "{what}: {:?}", dns.questions());
        figure("F12: failure, further candidates asked", (what, others));
    }
}

#[tokio::test]
async fn f12_a_failure_of_a_later_candidate_is_transient_too() {
    let dns = dns().await;
    dns.script(Rule::any().name(SECOND).servfail());
    let error = refusal(&pod(&dns), "orders.billing:80").await;
    assert!(error.is_transient(), "{error}");
    assert_eq!((dns.count(FIRST, QType::A), dns.count(SECOND, QType::A), dns.total()), (1, 1, 2));
}

#[tokio::test]
async fn f12_nodata_of_a_candidate_goes_on_to_the_next() {
    let dns = dns().await;
    dns.apply(in_billing());
    dns.script(Rule::any().name(FIRST).nodata());
    let upstream = within("an answer", pod(&dns).resolve("orders.billing:80")).await.unwrap();
    assert_eq!(addrs(&upstream.endpoints()), ["10.0.0.2:80"]);
}

/// Whichever candidate it was that exists.
#[tokio::test]
async fn f12_nodata_is_remembered_as_exists() {
    for (name, asked) in [(FIRST, 3), (SECOND, 3)] {
        let dns = dns().await;
        dns.script(Rule::any().name(name).nodata());
        let error = refusal(&pod(&dns), "orders.billing:80").await;
        assert!(error.is_no_endpoints() && !error.is_not_found() && !error.is_transient(), "{name}: {error}");
        assert_eq!(dns.total(), asked, "all candidates are asked: {:?}", dns.questions());
    }
}

#[tokio::test]
async fn f12_nxdomain_of_all_candidates_is_not_found() {
    let dns = dns().await;
    let error = refusal(&pod(&dns), "orders.billing:80").await;
    assert!(error.is_not_found() && !error.is_no_endpoints(), "{error}");
    assert_eq!(dns.total(), 3);
}

/// A node whose search domain answers to every name, under the usual cluster domain and under one of its own.
#[tokio::test]
async fn f13_a_wildcard_of_the_node_never_wins_for_a_name_of_the_cluster() {
    const WILDCARD: &str = "192.0.2.66";
    for domain in ["cluster.local", "k8s.example.com"] {
        let started = FakeDns::builder().cluster_domain(domain).node_search("corp.example").start();
        let dns = started.await.unwrap();
        dns.record("*.corp.example", WILDCARD);
        dns.record("*.example.com", WILDCARD);
        dns.apply(in_billing());
        let resolver = pod(&dns);
        for form in [
            format!("orders.billing.svc.{domain}:80"),
            format!("orders.billing.svc.{domain}.:80"),
            "orders.billing.svc:80".to_owned(),
            "orders.billing:80".to_owned(),
        ] {
            let upstream = within("an answer", resolver.resolve(form.as_str())).await.unwrap();
            assert_eq!(addrs(&upstream.endpoints()), ["10.0.0.2:80"], "{form}");
        }
        for form in [
            format!("nobody.billing.svc.{domain}:80"),
            format!("nobody.billing.svc.{domain}.:80"),
            "nobody.billing.svc:80".to_owned(),
            "nobody.billing:80".to_owned(),
            "nobody:80".to_owned(),
        ] {
            let error = refusal(&resolver, &form).await;
            assert!(error.is_not_found(), "{form}: {error}");
        }
        let astray = dns.questions().iter().filter(|asked| asked.name.ends_with("corp.example.")).count();
        assert_eq!(astray, 0, "{:?}", dns.questions());
        figure("F13: cluster domain, questions in the node's search domain", (domain, astray));
    }
}

/// `search .` (k3s#6132): a bare name is not asked for at the root.
#[tokio::test]
async fn f13_a_bare_name_is_read_in_the_own_namespace_only() {
    let dns = dns().await;
    dns.record("orders", "192.0.2.66");
    dns.record("nobody", "192.0.2.66");
    let error = refusal(&pod(&dns), "nobody:80").await;
    assert!(error.is_not_found(), "{error}");
    assert_eq!(dns.count("nobody", QType::A), 0);
}
