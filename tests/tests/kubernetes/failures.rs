//! An API server that does not answer, or refuses: DNS answers.

use discovery_testing::{FakeDns, Service};
use tests::{addrs, until};

use super::{
    objects::{service, slice},
    resolver,
    server::{Answer, ApiServer, Mode},
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
async fn a_missing_role_is_logged_once_and_dns_answers() {
    let log = tests::log::capture(tracing::Level::WARN);
    let (server, dns) = both().await;
    // Only this test uses that namespace.
    dns.apply(Service::cluster_ip("billing", "orders").ip("127.0.0.7"));
    server.set(Mode::Refuse(403, "endpointslices"));
    let resolver = resolver(source(&server), &dns);
    let orders = resolver.resolve("orders.billing.svc:80").await.unwrap();
    assert_eq!(addrs(&orders.endpoints()), ["127.0.0.7:80"]);
    let why = orders.explain().to_string();
    let role = "Role with the verbs get, list and watch on `endpointslices` of `discovery.k8s.io` and on `services` in \
                namespace `billing`";
    assert!(why.contains(role), "{why}");
    server.until("more attempts", |s| s.journal.iter().filter(|l| l.contains("endpointslices")).count() > 3).await;
    let warnings = log.containing("namespace=billing");
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert!(warnings[0].contains(role), "{warnings:#?}");

    server.set(Mode::Serve);
    server.apply(&slice("orders-a", "orders", ("http", 8080), &["10.0.0.2"]));
    until(&orders, "the pods, with the Role", |set| addrs(set) == ["10.0.0.2:8080"]).await;
}

/// `example.com` may be Service `example` of namespace `com`. That this namespace is forbidden deserves no warning.
#[tokio::test]
async fn logs_nothing_about_a_namespace_that_is_probably_a_domain() {
    let log = tests::log::capture(tracing::Level::WARN);
    let (server, dns) = both().await;
    dns.record("example.com", "127.0.0.8");
    server.set(Mode::Refuse(403, "endpointslices"));
    let example = resolver(source(&server), &dns).resolve("example.com:80").await.unwrap();
    assert_eq!(addrs(&example.endpoints()), ["127.0.0.8:80"]);
    assert_eq!(log.containing("namespace=com"), Vec::<String>::new());
    // The source asked for it nevertheless.
    assert!(example.explain().to_string().contains("EndpointSlices of example.com"), "{}", example.explain());
}

#[tokio::test]
async fn a_role_without_the_watch_verb_is_a_missing_role() {
    let (server, dns) = both().await;
    server.set(Mode::Refuse(403, "watch"));
    let orders = resolver(source(&server), &dns).resolve("orders:80").await.unwrap();
    until(&orders, "the address from DNS", |set| addrs(set) == ["127.0.0.7:80"]).await;
    server.set(Mode::Serve);
    until(&orders, "the pods, with the Role", |set| addrs(set) == ["10.0.0.1:8080"]).await;
}

#[tokio::test]
async fn a_cluster_without_endpoint_slices_is_a_configuration_error() {
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
async fn dns_answers_until_the_api_server_is_reachable() {
    let (mut server, dns) = both().await;
    server.kill().await;
    let orders = resolver(source(&server), &dns).resolve("orders:80").await.unwrap();
    assert_eq!(addrs(&orders.endpoints()), ["127.0.0.7:80"]);
    server.accept().await;
    until(&orders, "the pods", |set| addrs(set) == ["10.0.0.1:8080"]).await;
}

#[tokio::test]
async fn a_silent_api_server_delays_the_first_answer_by_two_seconds() {
    let (server, dns) = both().await;
    server.set(Mode::Hang);
    let begun = std::time::Instant::now();
    let orders = resolver(source(&server), &dns).resolve("orders:80").await.unwrap();
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    assert_eq!(addrs(&orders.endpoints()), ["127.0.0.7:80"]);
}

#[tokio::test]
async fn reads_a_refused_token_again() {
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
async fn a_source_outlives_its_first_runtime() {
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
    until(&here, "the watch on this runtime", |set| addrs(set) == ["10.0.0.2:8080"]).await;
}

/// A list without an end: the API server repeats its continue token, or the token is as large as a flood.
#[tokio::test]
async fn dns_answers_while_a_list_does_not_end() {
    let (server, dns) = both().await;
    for (token, why) in [
        ("again".to_owned(), "the API server sent the same continue token twice"),
        ("t".repeat(1 << 20), "the continue token is larger than 16 KiB"),
    ] {
        let body = format!(r#"{{"metadata":{{"resourceVersion":"1","continue":"{token}"}},"items":[]}}"#);
        let headers = "content-type: application/json\r\n";
        server.set(Mode::Answer(Answer { to: "list endpointslices", status: 200, headers, body }));
        let orders = resolver(source(&server), &dns).resolve("orders:80").await.unwrap();
        assert_eq!(addrs(&orders.endpoints()), ["127.0.0.7:80"]);
        let explanation = orders.explain().to_string();
        assert!(explanation.contains(why), "{explanation}");
    }
    let lists = server.count("list endpointslices");
    assert!(lists < 50, "{lists} pages");
}
