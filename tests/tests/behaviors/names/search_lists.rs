//! F12: the next candidate of a search list masks a failure. F13: names that end up in the node's search domains.

use std::collections::BTreeSet;

use discovery_core::context::Families;
use discovery_testing::{FakeDns, Pod, QType, Rule, Service};
use tests::{ORDERS, addrs, brisk, figure, in_pod, orders, refusal, until, within};

use crate::support::dns::{Fails, QUICK, dns, pod, pod_with};

/// The candidates for `orders.billing` in a pod of `shop`, in the order of the queries.
const FIRST: &str = "orders.billing.shop.svc.cluster.local";
const SECOND: &str = "orders.billing.svc.cluster.local";

fn in_billing() -> Service {
    Service::headless("billing", "orders").port("http", 80).pod(Pod::new("10.0.0.2"))
}

/// F12. The next candidate would be denied, which would read as "not found"; or, worse, it would exist.
#[tokio::test]
async fn a_failed_first_candidate_is_a_transient_error() {
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
        figure("F12: failure, further candidates queried", (what, others));
    }
}

/// F12.
#[tokio::test]
async fn a_failed_later_candidate_is_a_transient_error() {
    let dns = dns().await;
    dns.script(Rule::any().name(SECOND).servfail());
    let error = refusal(&pod(&dns), "orders.billing:80").await;
    assert!(error.is_transient(), "{error}");
    assert_eq!((dns.count(FIRST, QType::A), dns.count(SECOND, QType::A), dns.total()), (1, 1, 2));
}

/// F12.
#[tokio::test]
async fn continues_with_the_next_candidate_after_nodata() {
    let dns = dns().await;
    dns.apply(in_billing());
    dns.script(Rule::any().name(FIRST).nodata());
    let upstream = within("an answer", pod(&dns).resolve("orders.billing:80")).await.unwrap();
    assert_eq!(addrs(&upstream.endpoints()), ["10.0.0.2:80"]);
}

/// F12. Whichever candidate it is.
#[tokio::test]
async fn nodata_of_any_candidate_means_that_the_name_exists() {
    for (name, asked) in [(FIRST, 3), (SECOND, 3)] {
        let dns = dns().await;
        dns.script(Rule::any().name(name).nodata());
        let error = refusal(&pod(&dns), "orders.billing:80").await;
        assert!(error.is_no_endpoints() && !error.is_not_found() && !error.is_transient(), "{name}: {error}");
        assert_eq!(dns.total(), asked, "all candidates are queried: {:?}", dns.questions());
    }
}

/// F12.
#[tokio::test]
async fn nxdomain_of_all_candidates_is_not_found() {
    let dns = dns().await;
    let error = refusal(&pod(&dns), "orders.billing:80").await;
    assert!(error.is_not_found() && !error.is_no_endpoints(), "{error}");
    assert_eq!(dns.total(), 3);
}

/// F13. The node's search domain answers for every name, under the usual cluster domain and under another one.
#[tokio::test]
async fn a_wildcard_in_the_nodes_search_domain_never_answers_for_a_cluster_name() {
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
        figure("F13: cluster domain, queries in the node's search domain", (domain, astray));
    }
}

/// F13. The resolver does not query for a bare name at the root, as `search .` asks for (k3s#6132).
#[tokio::test]
async fn reads_a_bare_name_in_the_own_namespace_only() {
    let dns = dns().await;
    dns.record("orders", "192.0.2.66");
    dns.record("nobody", "192.0.2.66");
    let error = refusal(&pod(&dns), "nobody:80").await;
    assert!(error.is_not_found(), "{error}");
    assert_eq!(dns.count("nobody", QType::A), 0);
}

/// T2. A search list would continue with names that do not exist, and return their NXDOMAIN.
#[tokio::test]
async fn a_transient_failure_is_not_reported_as_a_missing_name() {
    let forms = ["orders", "orders.shop", "orders.shop.svc", "orders.shop.svc.cluster.local", "http://orders.shop/"];
    for (what, fails) in [
        ("SERVFAIL", Rule::servfail as Fails),
        ("REFUSED", Rule::refuse),
        ("lost", Rule::drop),
        ("garbage", Rule::garbage),
    ] {
        let dns = FakeDns::start().await.unwrap();
        dns.apply(orders(&["10.0.0.1", "10.0.0.2"]));
        dns.script(fails(Rule::any().name(ORDERS)));
        let resolver = pod_with(&dns, &QUICK).build().unwrap();
        for form in forms {
            let error = refusal(&resolver, form).await;
            assert!(
                error.is_transient() && !error.is_not_found() && !error.is_no_endpoints(),
                "{what}, {form}: {error}"
            );
            assert!(error.to_string().contains(ORDERS), "{what}, {form}: {error}");
        }
        let asked: BTreeSet<_> = dns.questions().into_iter().map(|asked| asked.name).collect();
        // The pod that would come first, and nothing that would come after the right name.
        let allowed = [format!("{ORDERS}."), "orders.shop.shop.svc.cluster.local.".to_owned()];
        assert!(asked.iter().all(|name| allowed.contains(name)), "{what}: {asked:?}");

        let upstream = resolver.upstream("orders:80").unwrap();
        dns.clear_script();
        within(what, upstream.ready()).await.unwrap();
    }
}

/// `.shop` is a top-level domain of the Internet.
#[tokio::test]
async fn a_service_scaled_to_zero_is_not_looked_up_outside_the_cluster() {
    let dns = FakeDns::builder().ttl(0).start().await.unwrap();
    dns.record("orders.shop", "203.0.113.66");
    dns.apply(Service::headless("shop", "orders").port("http", 80).pod(Pod::new("10.0.0.1")));
    let orders = in_pod(&dns, "billing").refresh(brisk()).build().unwrap().resolve("orders.shop:80").await.unwrap();
    assert_eq!(addrs(&orders.endpoints()), ["10.0.0.1:80"]);
    dns.remove_pod("shop", "orders", "10.0.0.1");
    until(&orders, "an empty set", |set| set.is_empty()).await;
    dns.add_pod("shop", "orders", Pod::new("10.0.0.2"));
    until(&orders, "the new pod", |set| addrs(set) == ["10.0.0.2:80"]).await;
    assert_eq!(dns.count("orders.shop", QType::A), 0);
}

/// Where A is denied and only AAAA fails, the walk goes on inside the cluster.
#[tokio::test]
async fn resolves_service_and_namespace_while_aaaa_fails() {
    let dns = FakeDns::start().await.unwrap();
    dns.apply(Service::headless("shop", "orders").port("http", 80).pod(Pod::new("10.0.0.1")));
    dns.script(Rule::any().qtype(QType::AAAA).servfail());
    let resolver = in_pod(&dns, "billing").families(Families::Both).build().unwrap();
    let orders = within("orders.shop", resolver.resolve("orders.shop:80")).await.unwrap();
    assert_eq!(addrs(&orders.endpoints()), ["10.0.0.1:80"]);
}

/// The target of a ClusterIP's SRV record is the Service itself, which here has the name of the pod that is tried
/// first.
#[tokio::test]
async fn resolves_a_service_named_like_its_namespace() {
    let dns = FakeDns::start().await.unwrap();
    dns.apply(Service::cluster_ip("shop", "nginx").ip("10.96.0.66").port("http", 80));
    dns.apply(Service::cluster_ip("nginx", "nginx").ip("10.96.0.7").port("http", 80));
    let nginx = in_pod(&dns, "shop").build().unwrap().resolve("nginx.nginx:http").await.unwrap();
    assert_eq!(addrs(&nginx.endpoints()), ["10.96.0.7:80"]);
}

/// F13. A kubelet writes up to 32 search domains, and a node may have more.
#[tokio::test]
async fn a_search_list_of_32_domains_costs_no_queries() {
    let node = (0..40).map(|n| format!("n{n}.corp.example"));
    let dns = node.fold(FakeDns::builder(), |builder, domain| builder.node_search(&domain)).start().await.unwrap();
    dns.record("*.corp.example", "192.0.2.66");
    dns.apply(orders(&["10.0.0.1"]));
    assert_eq!(dns.resolv_conf("shop").matches(".corp.example").count(), 29);
    let upstream = within("an answer", pod(&dns).resolve("orders.shop.svc:80")).await.unwrap();
    assert_eq!((addrs(&upstream.endpoints()), dns.total()), (vec!["10.0.0.1:80".to_owned()], 1));
}
