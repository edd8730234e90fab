//! The host of the URL stays in the request, whatever address it is sent to.

use std::sync::Arc;

use bytes::Bytes;
use discovery_core::policy::RoundRobin;
use discovery_reqwest::{Client, ResponseExt};
use discovery_testing::{FakeCluster, FakeDns, FakePod, ManualSource};
use tests::{error_texts, in_cluster, in_pod, in_pod_with};

use crate::support::client::{ClientWorld, header, host, over_http, within};

#[tokio::test]
async fn sends_the_host_of_the_url() {
    let world = ClientWorld::new(2).await;
    let port = world.service.port();
    for http2 in [false, true] {
        let resolver = world.resolver().build().unwrap();
        let client = Client::builder(resolver).configure(over_http(http2)).build().unwrap();
        for (url, expected) in [
            (format!("http://orders.shop:{port}/v1"), format!("orders.shop:{port}")),
            (format!("http://orders:{port}/v1"), format!("orders:{port}")),
            (format!("http://ORDERS.shop.svc.cluster.local:{port}/"), format!("orders.shop.svc.cluster.local:{port}")),
            ("http://_http._tcp.orders.shop/".to_owned(), "orders.shop".to_owned()),
            ("http://_http._tcp.orders/".to_owned(), "orders".to_owned()),
        ] {
            assert_eq!(host(&client, &url).await, expected, "{url} over HTTP/2 {http2}");
        }
    }
}

#[tokio::test]
async fn sends_the_host_of_the_url_when_a_variable_sets_another_port() {
    let (dns, pod) = (FakeDns::start().await.unwrap(), FakePod::start("laptop").await.unwrap());
    let port = pod.addr().port().to_string();
    let own = [("ORDERS_SERVICE_HOST", "127.0.0.1"), ("ORDERS_SERVICE_PORT", &port)];
    let named = [("ORDERS_SERVICE_PORT_HTTP", port.as_str()), ("ORDERS_SERVICE_PORT_METRICS", "9")];
    for (vars, url, expected) in [
        (&own[..], "http://orders/v1", "orders"),
        (&own[..], "http://orders.shop/v1", "orders.shop"),
        (&[own, named].concat()[..], "http://_http._tcp.orders.shop/", "orders.shop"),
    ] {
        for http2 in [false, true] {
            let resolver = in_pod_with(&dns, "shop", vars.iter().copied()).build().unwrap();
            let client = Client::builder(resolver).configure(over_http(http2)).build().unwrap();
            assert_eq!(host(&client, url).await, expected, "{url} over HTTP/2 {http2}");
        }
    }
    assert_eq!(pod.requests(), 6);
}

/// A custom source may know another port than the URL names.
#[tokio::test]
async fn sends_the_host_of_the_url_when_a_source_returns_another_port() {
    let (dns, pod) = (FakeDns::start().await.unwrap(), FakePod::start("registered").await.unwrap());
    let (source, handle) = ManualSource::new();
    handle.set([pod.addr().to_string().as_str()]);
    let resolver = in_pod(&dns, "shop").source(Arc::new(source)).build().unwrap();
    for http2 in [false, true] {
        let client = Client::builder(resolver.clone()).configure(over_http(http2)).build().unwrap();
        assert_eq!(host(&client, "http://orders:8080/").await, "orders:8080", "over HTTP/2 {http2}");
        assert_eq!(host(&client, "http://orders/").await, "orders", "over HTTP/2 {http2}");
    }
    let client = Client::new(resolver);
    let own = client.get("http://orders:8080/").header("host", "orders.example");
    assert_eq!(header(&own.send().await.unwrap(), "x-host"), "orders.example", "unless the request has its own");
}

/// The port is replaced below HTTP, so neither version sees it.
#[tokio::test]
async fn the_authority_keeps_a_port_that_a_source_replaced() {
    let echo = |request: http::Request<Bytes>| {
        let authority = request.uri().authority().map_or("-", |authority| authority.as_str());
        let host = request.headers().get("host").map_or("-", |host| host.to_str().unwrap());
        http::Response::new(Bytes::from(format!("{authority} {host}")))
    };
    let (dns, pod) = (FakeDns::start().await.unwrap(), FakePod::with_handler("registered", echo).await.unwrap());
    let (source, handle) = ManualSource::new();
    handle.set([pod.addr().to_string().as_str()]);
    let resolver = in_pod(&dns, "shop").source(Arc::new(source)).build().unwrap();
    let port = pod.addr().port();
    for (http2, url, expected) in [
        (false, "http://orders:8080/".to_owned(), "- orders:8080".to_owned()),
        (false, "http://orders/".to_owned(), "- orders".to_owned()),
        (false, format!("http://orders:{port}/"), format!("- orders:{port}")),
        (true, "http://orders:8080/".to_owned(), "orders:8080 -".to_owned()),
        (true, "http://orders/".to_owned(), "orders -".to_owned()),
        (true, format!("http://orders:{port}/"), format!("orders:{port} -")),
    ] {
        let client = Client::builder(resolver.clone()).configure(over_http(http2)).build().unwrap();
        let response = within("an answer", client.get(&url).send()).await.unwrap();
        assert_eq!(response.text().await.unwrap(), expected, "{url} over HTTP/2 {http2}");
    }
}

/// The first attempt goes to the port of its endpoint; the second endpoint has another port.
#[tokio::test]
async fn sends_the_host_of_the_url_on_a_retry() {
    let (dns, pod) = (FakeDns::start().await.unwrap(), FakePod::start("registered").await.unwrap());
    let gone = FakePod::start("gone").await.unwrap();
    gone.kill().await;
    let (source, handle) = ManualSource::new();
    handle.set([pod.addr().to_string().as_str(), gone.addr().to_string().as_str()]);
    let resolver = in_pod(&dns, "shop").policy(RoundRobin::new()).source(Arc::new(source)).build().unwrap();
    for url in ["http://orders:8080/", "http://orders/", "http://_http._tcp.orders.shop/"] {
        let (client, mut retried) = (Client::new(resolver.clone()), false);
        for _ in 0..4 {
            let response = within("an answer", client.get(url).send()).await.unwrap();
            retried |= response.endpoints_tried() > 1;
            let expected = url.trim_start_matches("http://").trim_start_matches("_http._tcp.").trim_end_matches('/');
            assert_eq!(header(&response, "x-host"), expected, "after {} attempts", response.endpoints_tried());
        }
        assert!(retried, "{url}: round robin never met the endpoint that refuses");
    }
}

#[tokio::test]
async fn requests_to_external_hosts_addresses_and_localhost_work() {
    let world = ClientWorld::new(1).await;
    let (dns, pod) = (world.cluster.dns(), FakePod::start("outside").await.unwrap());
    dns.record("api.example.com", pod.ip());
    let (client, port) = (world.client(), pod.addr().port());
    let api = format!("api.example.com:{port}");
    assert_eq!(host(&client, &format!("http://{api}/v1")).await, api);
    dns.forget();
    for authority in [format!("127.0.0.1:{port}"), format!("localhost:{port}"), format!("here.localhost:{port}")] {
        assert_eq!(host(&client, &format!("http://{authority}/v1")).await, authority);
    }
    assert_eq!(pod.requests(), 4);
    let asked: Vec<_> = dns.questions().into_iter().map(|asked| asked.name).collect();
    assert!(!asked.iter().any(|name| name.contains("localhost") || name.contains("127")), "{asked:?}");
}

#[tokio::test]
async fn an_invalid_host_is_an_error_that_names_it() {
    let world = ClientWorld::new(1).await;
    let client = world.client();
    for (url, named) in [
        ("http://orders_v2.shop.svc/", "orders_v2.shop.svc"),
        ("http://-orders.shop/", "-orders.shop"),
        ("http://_http._quic.orders.shop/", "_http._quic.orders.shop"),
    ] {
        let error = client.get(url).send().await.unwrap_err();
        assert!(error.as_discovery().is_some_and(|error| error.is_invalid_name()), "{url}: {error:?}");
        assert!(error_texts(&error).contains(named), "{}", error_texts(&error));
    }
    let error = client.get("http://").send().await.unwrap_err();
    assert!(error.as_reqwest().is_some_and(|error| error.is_builder()), "{error:?}");
}

#[tokio::test]
async fn balances_a_url_whose_host_ends_in_a_dot() {
    let cluster = FakeCluster::start().await.unwrap();
    let service = cluster.service("shop", "orders").replicas(2).start().await.unwrap();
    let client = Client::new(in_cluster(&cluster, "shop"));
    let url = format!("http://orders.shop.svc.cluster.local.:{}/", service.port());
    for _ in 0..8 {
        assert_eq!(client.get(url.as_str()).send().await.unwrap().status(), 200);
    }
    assert_eq!(client.resolver().active(), 1, "no other client has resolved the host");
}
