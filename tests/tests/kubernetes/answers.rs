//! Which names the source answers, and which it leaves to DNS.

use std::time::Instant;

use discovery_core::{Environment, source::kubernetes::KubernetesSource};
use discovery_testing::{FakeDns, Pod, Service};
use tests::{addrs, until};

use super::{
    objects::{service, slice},
    resolver,
    server::ApiServer,
    source,
};

#[tokio::test]
async fn follows_the_pods_of_a_service() {
    let (server, dns) = (ApiServer::start().await, FakeDns::start().await.unwrap());
    server.apply(&service("orders", "10.96.0.7", &[("http", 80), ("admin", 9000)]));
    server.apply(&slice("orders-a", "orders", ("http", 8080), &["10.0.0.1", "10.0.0.2!", "10.0.0.3"]));
    let orders = resolver(source(&server), &dns).resolve("http://orders").await.unwrap();
    assert_eq!(addrs(&orders.endpoints()), ["10.0.0.1:8080", "10.0.0.3:8080"]);
    let set = orders.endpoints();
    let first = set.first().unwrap();
    assert_eq!((first.zone(), first.node()), (Some("zone-a"), Some("node-1")));
    assert_eq!(first.zone_hints().collect::<Vec<_>>(), ["zone-a"]);
    assert_eq!(first.identity().uid(), Some("8b32c7f8-0d7d-4a53-8a2c-000010.0.0.1"));
    let why = orders.explain().to_string();
    assert!(why.contains("EndpointSlices of orders.shop: 2 of 3 endpoints usable, slices: 1, port http/tcp"), "{why}");

    let begun = Instant::now();
    server.apply(&slice("orders-b", "orders", ("http", 8081), &["10.0.0.4"]));
    until(&orders, "an added slice", |set| set.len() == 3).await;
    println!("added after {:?}", begun.elapsed());
    server.apply(&slice("orders-a", "orders", ("http", 8080), &["10.0.0.1~", "10.0.0.2", "10.0.0.3"]));
    until(&orders, "one pod terminating, another one ready", |set| {
        addrs(set) == ["10.0.0.2:8080", "10.0.0.3:8080", "10.0.0.4:8081"]
    })
    .await;
    server.delete("endpointslices", "orders-a");
    until(&orders, "a removed slice", |set| addrs(set) == ["10.0.0.4:8081"]).await;
    server.apply(&slice("orders-b", "orders", ("http", 8081), &["10.0.0.4~"]));
    until(&orders, "only a terminating pod", |set| set.iter().all(|e| e.conditions().terminating)).await;
    assert_eq!(addrs(&orders.endpoints()), ["10.0.0.4:8081"]);
    assert_eq!(dns.total(), 0);
}

#[tokio::test]
async fn a_service_without_endpoints_is_an_empty_set() {
    let (server, dns) = (ApiServer::start().await, FakeDns::start().await.unwrap());
    dns.apply(Service::cluster_ip("shop", "orders").ip("127.0.0.7"));
    server.apply(&service("orders", "10.96.0.7", &[("http", 80)]));
    let resolver = resolver(source(&server), &dns);
    let error = resolver.resolve("orders:80").await.unwrap_err();
    assert!(error.is_no_endpoints(), "{error}");
    assert_eq!(dns.total(), 0);
}

#[tokio::test]
async fn leaves_names_to_dns_that_the_api_server_does_not_know() {
    let (server, dns) = (ApiServer::start().await, FakeDns::start().await.unwrap());
    dns.apply(Service::cluster_ip("shop", "orders").ip("127.0.0.7"));
    dns.apply(Service::cluster_ip("shop", "other").ip("127.0.0.8"));
    dns.apply(Service::cluster_ip("shop", "alias").ip("127.0.0.9"));
    server.apply(&service("orders", "10.96.0.7", &[("http", 80)]));
    server.apply(&service("alias", "10.96.0.9 ExternalName", &[("http", 80)]));
    server.apply(&slice("orders-a", "orders", ("http", 8080), &["10.0.0.1"]));
    let resolver = resolver(source(&server), &dns);
    for (target, addr, why) in [
        ("orders:81", "127.0.0.7:81", "Service `orders` has no port 81/tcp; it has http 80/tcp"),
        ("other:80", "127.0.0.8:80", "Service not found"),
        ("alias:80", "127.0.0.9:80", "an ExternalName Service, left to DNS"),
    ] {
        let upstream = resolver.resolve(target).await.unwrap();
        assert_eq!(addrs(&upstream.endpoints()), [addr]);
        let explanation = upstream.explain().to_string();
        assert!(explanation.contains(why), "{explanation}");
    }
}

#[tokio::test]
async fn a_new_service_takes_over_from_dns_and_a_deleted_one_falls_back_to_it() {
    let (server, dns) = (ApiServer::start().await, FakeDns::start().await.unwrap());
    dns.apply(Service::cluster_ip("shop", "orders").ip("127.0.0.7"));
    let orders = resolver(source(&server), &dns).resolve("orders:80").await.unwrap();
    assert_eq!(addrs(&orders.endpoints()), ["127.0.0.7:80"]);
    server.apply(&slice("orders-a", "orders", ("http", 8080), &["10.0.0.1"]));
    server.apply(&service("orders", "10.96.0.7", &[("http", 80)]));
    until(&orders, "the pods", |set| addrs(set) == ["10.0.0.1:8080"]).await;
    server.delete("services", "orders");
    until(&orders, "the address from DNS", |set| addrs(set) == ["127.0.0.7:80"]).await;
}

#[tokio::test]
async fn resolves_one_pod_of_a_headless_service() {
    let (server, dns) = (ApiServer::start().await, FakeDns::start().await.unwrap());
    dns.apply(Service::headless("shop", "unused").port("http", 80).pod(Pod::new("127.0.0.2")));
    server.apply(&service("web", "None", &[("http", 80)]));
    let with_host = |name: &str, host: &str, address: &str| {
        let slice = slice(name, "web", ("http", 8080), &[address]);
        slice.replace(r#""nodeName""#, &format!(r#""hostname":"{host}","nodeName""#))
    };
    server.apply(&with_host("web-a", "web-0", "10.0.0.1"));
    server.apply(&with_host("web-b", "web-1", "10.0.0.2"));
    let resolver = resolver(source(&server), &dns);
    for (target, wanted) in [
        ("web-1.web", vec!["10.0.0.2:8080"]),
        ("web-1.web:http", vec!["10.0.0.2:8080"]),
        ("web-0.web.shop.svc:9090", vec!["10.0.0.1:9090"]),
        ("web.shop.svc.cluster.local.:80", vec!["10.0.0.1:8080", "10.0.0.2:8080"]),
        ("web:9090", vec!["10.0.0.1:9090", "10.0.0.2:9090"]),
    ] {
        assert_eq!(addrs(&resolver.resolve(target).await.unwrap().endpoints()), wanted, "{target}");
    }
    assert_eq!(server.count("list endpointslices"), 1);
}

#[tokio::test]
async fn there_is_no_source_outside_a_cluster() {
    assert!(KubernetesSource::in_cluster(&Environment::empty(), None).unwrap().is_none());
    let in_pod = Environment::empty().with_env([
        ("KUBERNETES_SERVICE_HOST", "fd00::1"),
        ("KUBERNETES_SERVICE_PORT", "6443"),
        ("POD_IPS", "fd00::7"),
    ]);
    let source = KubernetesSource::in_cluster(&in_pod, None).unwrap().unwrap();
    assert!(format!("{source:?}").contains("https://[fd00::1]:6443"), "{source:?}");
    assert!(KubernetesSource::builder("10.96.0.1:443").build().unwrap_err().is_config());
}

/// The API server forbids such endpoints (`ValidateEndpointIP`), but an older one, an aggregated one or a hostile one
/// may have them. This server is on loopback, and so may its pods be.
#[tokio::test]
async fn a_slice_leads_to_no_link_local_address() {
    let (server, dns) = (ApiServer::start().await, FakeDns::start().await.unwrap());
    server.apply(&service("orders", "10.96.0.7", &[("http", 80)]));
    server.apply(&slice(
        "orders-a",
        "orders",
        ("http", 8080),
        &["10.0.0.1", "169.254.169.254", "224.0.0.1", "127.0.0.9"],
    ));
    let orders = resolver(source(&server), &dns).resolve("http://orders").await.unwrap();
    assert_eq!(addrs(&orders.endpoints()), ["10.0.0.1:8080", "127.0.0.9:8080"]);
    let why = orders.explain().to_string();
    assert!(why.contains("169.254.169.254 is a link-local address"), "{why}");
    assert!(why.contains("224.0.0.1 is a multicast address"), "{why}");
}
