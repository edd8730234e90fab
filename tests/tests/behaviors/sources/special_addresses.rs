//! Addresses that no endpoint may have, from every source that may name them.

use std::sync::Arc;

use discovery_core::{Environment, Resolver, plan::Families};
use discovery_testing::{FakeDns, ManualSource, Pod, Service};
use tests::{addrs, in_pod, in_pod_with, orders, refusal, within};

/// The address where clouds serve the credentials of the node.
const METADATA: &str = "169.254.169.254";

async fn dns() -> FakeDns {
    FakeDns::start().await.unwrap()
}

/// A headless Service with these pods, one of which is an attacker's.
fn service(ips: &[&str]) -> Service {
    let pods = ips.iter().enumerate().map(|(n, ip)| Pod::new(*ip).hostname(&format!("web-{n}")));
    pods.fold(Service::headless("shop", "orders").port("http", 80), Service::pod)
}

#[tokio::test]
async fn a_source_of_any_kind_names_no_group_and_no_unspecified_address() {
    let (source, handle) = ManualSource::new();
    handle.set(["0.0.0.0:80", "224.0.0.251:80", "255.255.255.255:80", "[::]:80", "[ff02::fb]:80", "127.0.0.1:80"]);
    let resolver = Resolver::builder().environment(Environment::empty()).source(Arc::new(source)).build().unwrap();
    let upstream = within("an answer", resolver.resolve("orders.test:80")).await.unwrap();
    assert_eq!(addrs(&upstream.endpoints()), ["127.0.0.1:80"], "a test double on loopback stays");
    let explanation = upstream.explain().to_string();
    for part in ["refused", "0.0.0.0 is an unspecified address", "224.0.0.251 is a multicast address", "and 1 more"] {
        assert!(explanation.contains(part), "`{part}` in {explanation}");
    }
}

#[tokio::test]
async fn variables_and_literals_name_no_group_either() {
    let dns = dns().await;
    let vars = [("ORDERS_SERVICE_HOST", "224.0.0.9"), ("ORDERS_SERVICE_PORT", "80")];
    let resolver = in_pod_with(&dns, "shop", vars).build().unwrap();
    for (target, part) in
        [("orders:80", "224.0.0.9 is a multicast"), ("http://0.0.0.0:80", "0.0.0.0 is an unspecified")]
    {
        let error = refusal(&resolver, target).await.to_string();
        assert!(error.contains(part), "{target}: {error}");
    }
}

/// The pod of an attacker who may write EndpointSlices, or an ExternalName, or a zone file.
#[tokio::test]
async fn dns_of_the_cluster_leads_to_no_link_local_address() {
    let dns = dns().await;
    dns.apply(service(&["10.0.0.1", METADATA]));
    dns.apply(Service::external_name("shop", "alias", "metadata.example.com"));
    dns.record("metadata.example.com", METADATA);
    let resolver = in_pod(&dns, "shop").build().unwrap();
    for target in ["orders:80", "orders:http", "orders.shop.svc:80"] {
        let upstream = within("an answer", resolver.resolve(target)).await.unwrap();
        assert_eq!(addrs(&upstream.endpoints()), ["10.0.0.1:80"], "{target}");
        let explanation = upstream.explain().to_string();
        assert!(explanation.contains("refused: 169.254.169.254 is a link-local address"), "{target}: {explanation}");
    }
    for target in ["web-1.orders:80", "web-1.orders:http", "alias:80"] {
        let error = refusal(&resolver, target).await;
        assert!(error.is_transient() && error.to_string().contains(METADATA), "{target}: {error}");
    }
    // The node's own service, which a host may mean.
    let host = within("a host", resolver.resolve("metadata.example.com.:80")).await.unwrap();
    assert_eq!(addrs(&host.endpoints()), ["169.254.169.254:80"]);
}

/// A last known good set stays: the answer is not a negative one.
#[tokio::test]
async fn an_answer_of_refused_addresses_alone_does_not_remove_a_good_set() {
    let dns = FakeDns::builder().ttl(0).start().await.unwrap();
    dns.apply(orders(&["10.0.0.1"]));
    let resolver = in_pod(&dns, "shop").refresh(tests::brisk()).build().unwrap();
    let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
    dns.apply(orders(&[METADATA]));
    tests::until_stale(&upstream).await;
    assert_eq!(addrs(&upstream.endpoints()), ["10.0.0.1:80"]);
}

/// DNS rebinding.
#[tokio::test]
async fn a_host_leads_to_no_private_address_once_that_is_denied() {
    let dns = dns().await;
    for (name, ip) in [("ten", "10.0.0.7"), ("here", "127.0.0.1"), ("meta", METADATA), ("public", "192.0.2.7")] {
        dns.record(&format!("{name}.example.com"), ip);
    }
    dns.apply(orders(&["10.0.0.1"]));
    dns.apply(Service::external_name("shop", "alias", "ten.example.com"));
    let denied: [&str; 4] = ["ten.example.com:80", "here.example.com:80", "meta.example.com:80", "alias.shop.svc:80"];
    let open = in_pod(&dns, "shop").build().unwrap();
    for target in denied {
        within(target, open.resolve(target)).await.unwrap();
    }
    for resolver in [
        in_pod(&dns, "shop").deny_private(true).build().unwrap(),
        in_pod_with(&dns, "shop", [("DISCOVERY_DENY_PRIVATE", "on")]).build().unwrap(),
    ] {
        for target in denied {
            let error = refusal(&resolver, target).await;
            assert!(error.is_transient() && error.to_string().contains("deny_private"), "{target}: {error}");
        }
        for target in ["public.example.com:80", "orders:80"] {
            within(target, resolver.resolve(target)).await.unwrap();
        }
    }
}

/// `.dev` is a top-level domain: without the Service, the request would go to a stranger.
#[tokio::test]
async fn no_name_falls_through_to_a_host_in_a_resolver_for_the_cluster_only() {
    let dns = dns().await;
    dns.apply(orders(&["10.0.0.1"]));
    for name in ["orders.dev", "www.example.com"] {
        dns.record(name, "203.0.113.9");
    }
    let open = in_pod(&dns, "shop").build().unwrap();
    within("the stranger", open.resolve("orders.dev:80")).await.unwrap();
    dns.forget();
    for resolver in [
        in_pod(&dns, "shop").cluster_only(true).build().unwrap(),
        in_pod_with(&dns, "shop", [("DISCOVERY_CLUSTER_ONLY", "on")]).build().unwrap(),
    ] {
        for target in ["orders.dev:80", "orders.dev:http", "http://www.example.com"] {
            let error = refusal(&resolver, target).await.to_string();
            assert!(error.contains("DISCOVERY_CLUSTER_ONLY") && error.contains("final dot"), "{target}: {error}");
        }
        let asked = dns.questions();
        assert!(asked.iter().all(|asked| asked.name.ends_with(".cluster.local.")), "{asked:?}");
        within("a Service", resolver.resolve("orders.shop:80")).await.unwrap();
        within("a host", resolver.resolve("www.example.com.:80")).await.unwrap();
        dns.forget();
    }
    let outside = Resolver::builder().environment(Environment::empty()).nameservers([dns.addr()]);
    let outside = outside.families(Families::V4).cluster_only(true).build().unwrap();
    let error = refusal(&outside, "www.example.com:80").await.to_string();
    assert!(error.contains("DISCOVERY_CLUSTER_ONLY"), "{error}");
}
