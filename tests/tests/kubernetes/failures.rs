//! An API server that does not answer, or not us: DNS goes on.

use discovery_testing::{FakeDns, Service};
use tests::{addrs, until};

use super::{
    objects::{service, slice},
    resolver,
    server::{ApiServer, Mode},
    source,
};

async fn both() -> (ApiServer, FakeDns) {
    let (server, dns) = (ApiServer::start().await, FakeDns::start().await.unwrap());
    dns.apply(Service::cluster_ip("shop", "orders").ip("127.0.0.7"));
    server.apply(&service("orders", "10.96.0.7", &[("http", 80)]));
    server.apply(&slice("orders-a", "orders", ("http", 8080), &["10.0.0.1"]));
    (server, dns)
}

#[tokio::test]
async fn a_missing_role_is_said_once_and_dns_goes_on() {
    let said = tests::said::listen(tracing::Level::WARN);
    let (server, dns) = both().await;
    // Only this test asks about that namespace.
    dns.apply(Service::cluster_ip("billing", "orders").ip("127.0.0.7"));
    server.set(Mode::Refuse(403, "endpointslices"));
    let resolver = resolver(source(&server), &dns);
    let orders = resolver.resolve("orders.billing.svc:80").await.unwrap();
    assert_eq!(addrs(&orders.endpoints()), ["127.0.0.7:80"]);
    let why = orders.explain().to_string();
    let role = "Role with the verbs get, list and watch on `endpointslices` of `discovery.k8s.io` and on `services` in \
                namespace `billing`";
    assert!(why.contains(role), "{why}");
    server.until("some more tries", |s| s.journal.iter().filter(|l| l.contains("endpointslices")).count() > 3).await;
    let warnings = said.containing("namespace=billing");
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert!(warnings[0].contains(role), "{warnings:#?}");

    server.set(Mode::Serve);
    server.apply(&slice("orders-a", "orders", ("http", 8080), &["10.0.0.2"]));
    until(&orders, "the Role has been given", |set| addrs(set) == ["10.0.0.2:8080"]).await;
}

/// `example.com` may be Service `example` of namespace `com`; that this one is forbidden is no news.
#[tokio::test]
async fn nothing_is_said_of_a_namespace_that_is_likely_none() {
    let said = tests::said::listen(tracing::Level::WARN);
    let (server, dns) = both().await;
    dns.record("example.com", "127.0.0.8");
    server.set(Mode::Refuse(403, "endpointslices"));
    let example = resolver(source(&server), &dns).resolve("example.com:80").await.unwrap();
    assert_eq!(addrs(&example.endpoints()), ["127.0.0.8:80"]);
    assert_eq!(said.containing("namespace=com"), Vec::<String>::new());
    // It was asked for all the same.
    assert!(example.explain().to_string().contains("EndpointSlices of example.com"), "{}", example.explain());
}

#[tokio::test]
async fn a_role_without_watch_is_a_missing_role() {
    let (server, dns) = both().await;
    server.set(Mode::Refuse(403, "watch"));
    let orders = resolver(source(&server), &dns).resolve("orders:80").await.unwrap();
    until(&orders, "DNS goes on", |set| addrs(set) == ["127.0.0.7:80"]).await;
    server.set(Mode::Serve);
    until(&orders, "the Role has been given", |set| addrs(set) == ["10.0.0.1:8080"]).await;
}

#[tokio::test]
async fn a_cluster_without_endpoint_slices_is_refused() {
    let (server, dns) = both().await;
    server.set(Mode::Refuse(404, "endpointslices"));
    let error = resolver(source(&server), &dns).resolve("orders:80").await.unwrap_err();
    assert!(error.is_config(), "{error}");
    assert!(
        error.to_string().contains("EndpointSlices need `discovery.k8s.io/v1`, Kubernetes 1.21 or newer"),
        "{error}"
    );
    assert_eq!(dns.total(), 0);
}

#[tokio::test]
async fn an_api_server_that_is_not_there_yet_leaves_it_to_dns() {
    let (mut server, dns) = both().await;
    server.kill().await;
    let orders = resolver(source(&server), &dns).resolve("orders:80").await.unwrap();
    assert_eq!(addrs(&orders.endpoints()), ["127.0.0.7:80"]);
    server.accept().await;
    until(&orders, "it is there", |set| addrs(set) == ["10.0.0.1:8080"]).await;
}

#[tokio::test]
async fn an_api_server_that_says_nothing_costs_the_first_answer_two_seconds() {
    let (server, dns) = both().await;
    server.set(Mode::NotApplicable);
    let begun = std::time::Instant::now();
    let orders = resolver(source(&server), &dns).resolve("orders:80").await.unwrap();
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    assert_eq!(addrs(&orders.endpoints()), ["127.0.0.7:80"]);
}

#[tokio::test]
async fn a_token_that_is_refused_is_read_again() {
    let (server, dns) = both().await;
    let dir = std::env::temp_dir().join(format!("discovery-token-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("token");
    std::fs::write(&file, "old").unwrap();
    server.set(Mode::Token("new"));
    let orders = resolver(source(&server).token_file(&file), &dns).resolve("orders:80").await.unwrap();
    assert_eq!(addrs(&orders.endpoints()), ["127.0.0.7:80"]);
    let why = orders.explain().to_string();
    assert!(why.contains("rejected the bearer token"), "{why}");
    std::fs::write(&file, "new").unwrap();
    until(&orders, "the new token", |set| addrs(set) == ["10.0.0.1:8080"]).await;
    std::fs::remove_dir_all(&dir).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_outlives_the_runtime_it_was_first_used_on() {
    let (server, dns) = both().await;
    let resolver = resolver(source(&server), &dns);
    let (other, url) = (resolver.clone(), server.url());
    let orders = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { other.resolve("http://orders").await.unwrap() })
    })
    .join()
    .unwrap();
    assert_eq!(addrs(&orders.endpoints()), ["10.0.0.1:8080"], "{url}");
    server.apply(&slice("orders-a", "orders", ("http", 8080), &["10.0.0.2"]));
    let here = resolver.resolve("http://orders").await.unwrap();
    until(&here, "the watch goes on here", |set| addrs(set) == ["10.0.0.2:8080"]).await;
}
