//! `discovery-reqwest`: the client, and the resolver as reqwest's DNS hook.

use std::{
    error::Error as StdError,
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use ::reqwest::{Body, Method, Request, Response, StatusCode, Url};
use bytes::Bytes;
use discovery_core::{Environment, ResolverBuilder, policy::RoundRobin};
use discovery_reqwest::{Client, ClientBuilder, DiscoveryResolver, Error, RequestBuilder, ResponseExt};
use discovery_testing::{Behavior, FakeCluster, FakeDns, FakePod, FakeService, ManualSource};
use futures_util::{FutureExt, StreamExt, stream};
use http_body_util::Full;
use tests::{PATIENCE, brisk, in_pod, until};

pub(super) struct World {
    pub(super) service: FakeService,
    pub(super) cluster: FakeCluster,
}

impl World {
    /// A cluster whose DNS gives no TTL, so that changes are seen at once.
    pub(super) async fn new(replicas: usize) -> Self {
        let cluster = FakeCluster::with_dns(FakeDns::builder().ttl(0).start().await.unwrap());
        let service = cluster.service("shop", "orders").replicas(replicas).start().await.unwrap();
        Self { service, cluster }
    }

    pub(super) fn resolver(&self) -> ResolverBuilder {
        in_pod(self.cluster.dns(), "shop").refresh(brisk())
    }

    pub(super) fn client(&self) -> Client {
        self.builder().build().unwrap()
    }

    /// Whatever proxies there are on this machine, they are not meant.
    pub(super) fn builder(&self) -> ClientBuilder {
        Client::builder(self.resolver().build().unwrap()).no_proxy()
    }

    pub(super) fn url(&self) -> String {
        format!("http://orders.shop:{}/", self.service.port())
    }

    pub(super) fn pod(&self, index: usize) -> FakePod {
        self.service.pods().swap_remove(index)
    }

    pub(super) fn received(&self) -> Vec<usize> {
        self.service.pods().iter().map(FakePod::requests).collect()
    }
}

/// Bounds a hang. Thousands of requests take a while on a machine that has other work.
pub(super) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(6 * PATIENCE, future).await {
        Ok(result) => result,
        Err(_) => panic!("{what}: not within {:?}", 6 * PATIENCE),
    }
}

/// Sends GET requests, so many at a time; returns why some failed, and how many were sent again.
pub(super) async fn send(client: &Client, url: &str, requests: usize, at_a_time: usize) -> (Vec<Error>, usize) {
    let calls = (0..requests).map(|_| client.get(url).send());
    let results: Vec<_> = within("all answers", stream::iter(calls).buffer_unordered(at_a_time).collect()).await;
    let again = results.iter().flatten().filter(|response| tried(response) > 1).count();
    (results.into_iter().filter_map(Result::err).collect(), again)
}

fn tried(response: &Response) -> usize {
    response.endpoints_tried()
}

pub(super) fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The error and all of its causes, as a log shows them.
pub(super) fn texts(error: &Error) -> String {
    let mut all = format!("{error:?}");
    let mut next: Option<&dyn StdError> = Some(error);
    while let Some(error) = next {
        all.push_str(&format!("\n{error}\n{error:?}"));
        next = error.source();
    }
    all
}

fn over(http2: bool) -> impl Fn(::reqwest::ClientBuilder) -> ::reqwest::ClientBuilder + Send + Sync + 'static {
    move |builder| if http2 { builder.http2_prior_knowledge() } else { builder.http1_only() }
}

/// How 3200 requests are spread over 4 pods.
async fn spread(http2: bool, policy: Option<RoundRobin>) -> Vec<usize> {
    let world = World::new(4).await;
    let builder = world.resolver();
    let builder = match policy {
        Some(policy) => builder.policy(policy),
        None => builder,
    };
    let client = Client::builder(builder.build().unwrap()).configure(over(http2)).build().unwrap();
    let (errors, _) = send(&client, &world.url(), 3_200, 16).await;
    assert!(errors.is_empty(), "{errors:?}");
    let connections: Vec<_> = world.service.pods().iter().map(FakePod::connections).collect();
    let received = world.received();
    println!("HTTP/2 {http2}, {policy:?}: {received:?} over {connections:?} connections");
    received
}

/// A plain client sends [0, 3200, 0, 0] over HTTP/2 (contracts/peers.md).
#[tokio::test]
async fn requests_are_spread_evenly_over_http_1_and_over_http_2() {
    for http2 in [false, true] {
        let received = spread(http2, Some(RoundRobin::new())).await;
        assert!(received.iter().all(|requests| requests.abs_diff(800) <= 40), "{received:?}");
    }
}

#[tokio::test]
async fn the_default_policy_starves_no_pod() {
    for http2 in [false, true] {
        let received = spread(http2, None).await;
        assert!(received.iter().all(|requests| *requests >= 400), "{received:?}: half of an even share");
    }
}

/// `x-host` of the answer.
async fn host(client: &Client, url: &str) -> String {
    let response = within("an answer", client.get(url).send()).await.unwrap();
    assert_eq!(response.status(), 200);
    header(&response, "x-host").to_owned()
}

#[tokio::test]
async fn host_is_that_of_the_url() {
    let world = World::new(2).await;
    let port = world.service.port();
    for http2 in [false, true] {
        let resolver = world.resolver().build().unwrap();
        let client = Client::builder(resolver).configure(over(http2)).build().unwrap();
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
async fn host_is_that_of_the_url_when_a_variable_gives_another_port() {
    let (dns, pod) = (FakeDns::start().await.unwrap(), FakePod::start("laptop").await.unwrap());
    let port = pod.addr().port().to_string();
    let own = [("POD_NAMESPACE", "shop"), ("ORDERS_SERVICE_HOST", "127.0.0.1"), ("ORDERS_SERVICE_PORT", &port)];
    let named = [("ORDERS_SERVICE_PORT_HTTP", port.as_str()), ("ORDERS_SERVICE_PORT_METRICS", "9")];
    for (vars, url, expected) in [
        (&own[..], "http://orders/v1", "orders"),
        (&own[..], "http://orders.shop/v1", "orders.shop"),
        (&[own, [named[0], named[1], named[1]]].concat()[..], "http://_http._tcp.orders.shop/", "orders.shop"),
    ] {
        for http2 in [false, true] {
            let environment = Environment::empty().with_env(vars.iter().copied());
            let resolver = in_pod(&dns, "shop").environment(environment).build().unwrap();
            let client = Client::builder(resolver).configure(over(http2)).build().unwrap();
            assert_eq!(host(&client, url).await, expected, "{url} over HTTP/2 {http2}");
        }
    }
    assert_eq!(pod.requests(), 6);
}

/// A source of one's own may know another port than the one in the URL.
#[tokio::test]
async fn host_is_that_of_the_url_when_a_source_gives_another_port() {
    let (dns, pod) = (FakeDns::start().await.unwrap(), FakePod::start("registered").await.unwrap());
    let (source, handle) = ManualSource::new();
    handle.set([pod.addr().to_string().as_str()]);
    let resolver = in_pod(&dns, "shop").source(Arc::new(source)).build().unwrap();
    for http2 in [false, true] {
        let client = Client::builder(resolver.clone()).configure(over(http2)).build().unwrap();
        assert_eq!(host(&client, "http://orders:8080/").await, "orders:8080", "over HTTP/2 {http2}");
        assert_eq!(host(&client, "http://orders/").await, "orders", "over HTTP/2 {http2}");
    }
    let client = Client::new(resolver);
    let own = client.get("http://orders:8080/").header("host", "orders.example");
    assert_eq!(header(&own.send().await.unwrap(), "x-host"), "orders.example", "unless the request has its own");
}

/// What arrives: over HTTP/2 reqwest takes `:authority` from the URL that it dials, and there is no other way to make it
/// dial another port than to leave out the one that was written. `Host` tells it.
#[tokio::test]
async fn only_the_authority_of_http_2_lacks_a_port_that_a_source_replaced() {
    let tell = |request: http::Request<Bytes>| {
        let authority = request.uri().authority().map_or("-", |authority| authority.as_str());
        let host = request.headers().get("host").map_or("-", |host| host.to_str().unwrap());
        http::Response::new(Bytes::from(format!("{authority} {host}")))
    };
    let (dns, pod) = (FakeDns::start().await.unwrap(), FakePod::with_handler("registered", tell).await.unwrap());
    let (source, handle) = ManualSource::new();
    handle.set([pod.addr().to_string().as_str()]);
    let resolver = in_pod(&dns, "shop").source(Arc::new(source)).build().unwrap();
    let port = pod.addr().port();
    for (http2, url, expected) in [
        (false, "http://orders:8080/".to_owned(), "- orders:8080".to_owned()),
        (false, "http://orders/".to_owned(), "- orders".to_owned()),
        (false, format!("http://orders:{port}/"), format!("- orders:{port}")),
        (true, "http://orders:8080/".to_owned(), "orders orders:8080".to_owned()),
        (true, "http://orders/".to_owned(), "orders -".to_owned()),
        (true, format!("http://orders:{port}/"), format!("orders:{port} -")),
    ] {
        let client = Client::builder(resolver.clone()).configure(over(http2)).build().unwrap();
        let response = within("an answer", client.get(&url).send()).await.unwrap();
        assert_eq!(response.text().await.unwrap(), expected, "{url} over HTTP/2 {http2}");
    }
}

#[tokio::test]
async fn the_pool_of_an_endpoint_goes_with_it() {
    for http2 in [false, true] {
        let world = World::new(3).await;
        let resolver = world.resolver().policy(RoundRobin::new()).build().unwrap();
        let upstream = resolver.upstream(world.url().as_str()).unwrap();
        let client = Client::builder(resolver).configure(over(http2)).build().unwrap();
        assert!(send(&client, &world.url(), 12, 6).await.0.is_empty());
        let pods = world.service.pods();
        assert!(pods.iter().all(|pod| pod.counters().open > 0));

        // It goes on serving: it is the client who closes.
        world.service.set_ready(0, false);
        within("the end of its connections", pods[0].when(|seen| seen.open == 0)).await;
        until(&upstream, "two pods", |set| set.len() == 2).await;
        assert!(send(&client, &world.url(), 10, 2).await.0.is_empty());
        assert!(pods[0].requests() == 4 && pods[1..].iter().all(|pod| pod.counters().open > 0));
    }
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_goes_to_another_endpoint() {
    let world = World::new(4).await;
    world.service.kill(0).await;
    let (errors, again) = send(&world.client(), &world.url(), 1_000, 8).await;
    println!("one refusing endpoint of 4, still in DNS: {} of 1000 failed, {again} sent again", errors.len());
    assert!(errors.is_empty(), "{errors:?}");
    assert!(again > 0, "it was never tried");
}

#[tokio::test]
async fn what_is_sent_again_is_the_whole_request() {
    let cluster = FakeCluster::with_dns(FakeDns::builder().ttl(0).start().await.unwrap());
    let echo = |request: http::Request<Bytes>| {
        let header = request.headers().get("x-own").map_or("-", |value| value.to_str().unwrap());
        let seen = format!("{} {} {header} ", request.method(), request.uri());
        http::Response::new(Bytes::from([seen.as_bytes(), request.body()].concat()))
    };
    let service = cluster.service("shop", "orders").replicas(2).handler(echo).start().await.unwrap();
    service.kill(0).await;
    let resolver = in_pod(cluster.dns(), "shop").policy(RoundRobin::new()).build().unwrap();
    let client = Client::new(resolver);
    let url = format!("http://orders.shop:{}/v1?a=b", service.port());
    let minute = Duration::from_secs(60);
    let requests: [(&dyn Fn() -> RequestBuilder, &str); 5] = [
        (&|| client.get(&url), "GET /v1?a=b - "),
        (&|| client.delete(&url).header("x-own", "1"), "DELETE /v1?a=b 1 "),
        (&|| client.get(&url).header("x-own", "2").timeout(minute), "GET /v1?a=b 2 "),
        (&|| client.post(&url).header("x-own", "3").body("an order"), "POST /v1?a=b 3 an order"),
        (&|| client.put(&url).timeout(minute).body("an order"), "PUT /v1?a=b - an order"),
    ];
    for (request, expected) in requests {
        let mut again = false;
        for _ in 0..4 {
            let response = within("an answer", request().send()).await.unwrap();
            again |= tried(&response) > 1;
            assert_eq!(response.text().await.unwrap(), expected);
        }
        assert!(again, "{expected}: in turn, yet never to the one that refuses");
    }
}

/// The first attempt is aimed at its endpoint's port; the second has another one.
#[tokio::test]
async fn host_stays_that_of_the_url_when_a_request_is_sent_again() {
    let (dns, pod) = (FakeDns::start().await.unwrap(), FakePod::start("registered").await.unwrap());
    let gone = FakePod::start("gone").await.unwrap();
    gone.kill().await;
    let (source, handle) = ManualSource::new();
    handle.set([pod.addr().to_string().as_str(), gone.addr().to_string().as_str()]);
    let resolver = in_pod(&dns, "shop").policy(RoundRobin::new()).source(Arc::new(source)).build().unwrap();
    for url in ["http://orders:8080/", "http://orders/", "http://_http._tcp.orders.shop/"] {
        let (client, mut again) = (Client::new(resolver.clone()), false);
        for _ in 0..4 {
            let response = within("an answer", client.get(url).send()).await.unwrap();
            again |= tried(&response) > 1;
            let expected = url.trim_start_matches("http://").trim_start_matches("_http._tcp.").trim_end_matches('/');
            assert_eq!(header(&response, "x-host"), expected, "after {} attempts", tried(&response));
        }
        assert!(again, "{url}: in turn, yet never to the one that refuses");
    }
}

#[tokio::test]
async fn when_all_refuse_the_error_tells_how_many_were_tried_and_why() {
    for (replicas, tried, text) in [
        (1, 1, " failed at endpoint 127."),
        (2, 2, " failed at 2 endpoints, last at 127."),
        (5, 3, " failed at 3 endpoints, last at 127."),
    ] {
        let world = World::new(replicas).await;
        for index in 0..replicas {
            world.service.kill(index).await;
        }
        let error = world.client().post(world.url()).body("an order").send().await.unwrap_err();
        assert_eq!(error.endpoints_tried(), tried);
        let line = error.to_string();
        assert!(line.starts_with("request to http://orders") && line.contains(text), "{line}");
        assert!(line.ends_with("Connection refused (os error 111)"), "{line}");
        assert!(error.is_connect() && error.as_discovery().is_none());
        assert!(texts(&error).contains("Connection refused"), "{}", texts(&error));
    }
}

/// Each target has a budget of its own, with a reserve of 100 retries and 10 more a second.
#[tokio::test]
async fn in_an_outage_the_budget_bounds_what_is_sent_again() {
    let world = World::new(3).await;
    let billing = world.cluster.service("money", "billing").replicas(2).start().await.unwrap();
    for index in 0..3 {
        world.service.kill(index).await;
    }
    billing.kill(0).await;
    billing.kill(1).await;
    let client = world.client();
    let begun = Instant::now();
    let (errors, _) = send(&client, &world.url(), 500, 8).await;
    let again: usize = errors.iter().map(|error| error.endpoints_tried() - 1).sum();
    let most = 100 + 500 / 5 + (begun.elapsed().as_secs_f64() * 10.0).ceil() as usize;
    assert!((200..=most).contains(&again), "{again} were sent again, {most} may be");
    let over = errors.iter().find(|error| error.is_over_budget()).expect("800 more might have been");
    assert!(over.to_string().contains("budget") && over.is_connect() && over.endpoints_tried() < 3, "{over}");

    let error = client.get(format!("http://billing.money:{}/", billing.port())).send().await.unwrap_err();
    assert_eq!((error.endpoints_tried(), error.is_over_budget()), (2, false), "{error}");
}

pub(super) fn streamed() -> Body {
    Body::wrap(Full::new(Bytes::from_static(b"an order")))
}

#[tokio::test]
async fn a_streaming_body_is_sent_to_one_endpoint_and_the_error_says_why() {
    let world = World::new(3).await;
    let client = world.client();
    let response = client.put(world.url()).body(streamed()).send().await.unwrap();
    assert_eq!(response.status(), 200);
    for index in 0..3 {
        world.service.kill(index).await;
    }
    let error = client.put(world.url()).body(streamed()).send().await.unwrap_err();
    assert_eq!(error.endpoints_tried(), 1);
    assert!(error.to_string().contains("(not retried: the body is a stream and cannot be sent twice)"), "{error}");
    let error = client.put(world.url()).body("in memory").send().await.unwrap_err();
    assert_eq!(error.endpoints_tried(), 3, "{error}");
    assert!(!error.to_string().contains("stream"), "{error}");
}

/// It hangs first, so that requests are known to be under way to it when it goes.
#[tokio::test]
async fn a_pod_killed_without_notice_fails_no_idempotent_request() {
    for http2 in [false, true] {
        let world = World::new(4).await;
        let resolver = world.resolver().build().unwrap();
        let client = Client::builder(resolver).configure(over(http2)).build().unwrap();
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (client, url, stop, sent) = (client.clone(), world.url(), stop.clone(), sent.clone());
            workers.spawn(async move {
                let mut errors = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    sent.fetch_add(1, Ordering::Relaxed);
                    errors.extend(client.get(&url).send().await.err());
                }
                errors
            });
        }
        let pod = world.pod(0);
        within("requests", pod.when(|seen| seen.requests >= 20)).await;
        pod.set_behavior(Behavior::Hanging);
        within("requests under way", pod.when(|seen| seen.in_flight >= 2)).await;
        pod.kill().await;
        let other = world.pod(1);
        let before = other.requests();
        within("more requests", other.when(|seen| seen.requests >= before + 200)).await;
        stop.store(true, Ordering::Relaxed);
        let errors: Vec<_> = within("the workers", workers.join_all()).await.into_iter().flatten().collect();
        let (cut, sent) = (pod.counters().requests - pod.counters().served, sent.load(Ordering::Relaxed));
        println!("a pod killed without notice, HTTP/2 {http2}: {cut} of {sent} cut off, {} failed", errors.len());
        assert!(cut >= 2, "{cut}");
        assert!(errors.is_empty(), "{errors:?}");
    }
}

#[tokio::test]
async fn a_request_that_may_not_be_sent_twice_is_not() {
    for method in [Method::POST, Method::PATCH] {
        let world = World::new(3).await;
        let pods = world.service.pods();
        pods.iter().for_each(|pod| pod.set_behavior(Behavior::Hanging));
        let call = world.client().request(method.clone(), world.url()).send();
        let cut = async {
            let met = pods.iter().map(|pod| Box::pin(pod.when(|seen| seen.in_flight == 1)));
            let (_, met, _) = within("the request", futures_util::future::select_all(met)).await;
            pods[met].kill().await;
        };
        let (result, ()) = futures_util::join!(call, cut);
        let error = result.unwrap_err();
        assert_eq!((error.endpoints_tried(), world.received().iter().sum::<usize>()), (1, 1), "{method}: {error:?}");
    }
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_not_sent_again() {
    let world = World::new(3).await;
    world.service.pods().iter().for_each(|pod| pod.set_behavior(Behavior::Hanging));
    let error = world.client().get(world.url()).timeout(Duration::from_millis(100)).send().await.unwrap_err();
    assert!(error.is_timeout() && !error.is_connect(), "{error:?}");
    assert_eq!(error.endpoints_tried(), 1);
}

/// A pod that hangs takes connections, and nothing fails: only time tells.
#[tokio::test]
async fn a_pod_that_hangs_is_left_for_another_one_when_its_time_is_over() {
    let world = World::new(3).await;
    let client = world.builder().attempt_timeout(Duration::from_millis(100));
    let client = client.build().unwrap();
    world.pod(0).set_behavior(Behavior::Hanging);
    let (errors, again) = send(&client, &world.url(), 300, 4).await;
    assert!(errors.is_empty(), "{errors:?}");
    assert!((1..=60).contains(&again), "{again} of 300: open requests count, so few go there");

    // A POST is not sent twice, and goes on waiting; nor is anything when nobody else is left.
    world.pod(1).set_behavior(Behavior::Hanging);
    world.pod(2).set_behavior(Behavior::Hanging);
    for method in [Method::POST, Method::GET] {
        let before: usize = world.received().iter().sum();
        let request = client.request(method.clone(), world.url()).timeout(Duration::from_millis(700)).send();
        let error = within("an error", request).await.unwrap_err();
        assert!(error.is_timeout(), "{error}");
        let sent = world.received().iter().sum::<usize>() - before;
        assert_eq!(sent, if method == Method::GET { 3 } else { 1 }, "{method}");
    }
}

#[tokio::test]
async fn names_outside_the_cluster_addresses_and_localhost_work_too() {
    let world = World::new(1).await;
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
    let world = World::new(1).await;
    let client = world.client();
    for (url, named) in [
        ("http://orders_v2.shop/", "orders_v2.shop"),
        ("http://-orders.shop/", "-orders.shop"),
        ("http://_http.orders.shop/", "_http.orders.shop"),
    ] {
        let error = client.get(url).send().await.unwrap_err();
        assert!(error.as_discovery().is_some_and(|error| error.is_invalid_name()), "{url}: {error:?}");
        assert!(texts(&error).contains(named), "{}", texts(&error));
    }
    let error = client.get("http://").send().await.unwrap_err();
    assert!(error.as_reqwest().is_some_and(|error| error.is_builder()), "{error:?}");
}

#[tokio::test]
async fn a_redirect_to_another_service_goes_through_the_resolver() {
    let world = World::new(0).await;
    let billing = world.cluster.service("money", "billing").replicas(2).start().await.unwrap();
    let to = format!("http://billing.money:{}/paid", billing.port());
    let location = to.clone();
    let till = world.cluster.service("shop", "till").handler(move |_| {
        let response = http::Response::builder().status(StatusCode::TEMPORARY_REDIRECT).header("location", &location);
        response.body(Bytes::new()).unwrap()
    });
    let till = till.start().await.unwrap();
    let client = world.client();
    let url = format!("http://till:{}/", till.port());
    let response = within("an answer", client.get(url).send()).await.unwrap();
    assert_eq!((response.status(), response.url().as_str()), (StatusCode::OK, to.as_str()));
    assert_eq!(header(&response, "x-host"), format!("billing.money:{}", billing.port()));
    assert!(header(&response, "x-pod").starts_with("billing-"));
}

#[tokio::test]
async fn a_plain_client_resolves_through_service_dns_and_spreads_its_connections() {
    let world = World::new(4).await;
    let resolver = world.resolver().build().unwrap();
    let client = ::reqwest::Client::builder()
        .dns_resolver(DiscoveryResolver::new(resolver))
        .pool_max_idle_per_host(0)
        .no_proxy()
        .build()
        .unwrap();
    for url in [world.url(), "http://_http._tcp.orders.shop/".to_owned()] {
        let before = world.received();
        for _ in 0..60 {
            assert_eq!(within("an answer", client.get(&url).send()).await.unwrap().status(), 200);
        }
        let spread: Vec<_> = world.received().iter().zip(before).map(|(now, before)| now - before).collect();
        println!("a plain client on DiscoveryResolver, a connection for each request: {spread:?} for {url}");
        assert!(spread.iter().all(|requests| *requests > 0), "{spread:?}: by chance once in 10^7 runs");
    }
    let error = client.get("http://nobody.shop/").send().await.unwrap_err();
    assert!(error.is_dns(), "{error:?}");
}

#[tokio::test]
async fn no_endpoint_fails_after_the_patience_and_not_before() {
    let world = World::new(0).await;
    let patience = Duration::from_millis(150);
    let client = world.builder().endpoint_timeout(patience).build().unwrap();
    let begun = Instant::now();
    let error = within("an answer", client.get(world.url()).send()).await.unwrap_err();
    assert!(begun.elapsed() >= patience, "{:?}", begun.elapsed());
    assert!(error.as_discovery().is_some_and(|error| error.is_not_found()), "{error:?}: as CoreDNS has it");
    assert_eq!(error.endpoints_tried(), 0);
    let text = texts(&error);
    assert!(text.contains("A orders.shop.svc.cluster.local.") && text.contains("NXDOMAIN"), "{text}");
}

/// The first answer is on its way: that is not the same as no endpoint.
#[tokio::test]
async fn without_patience_only_the_first_request_waits_for_an_answer() {
    let world = World::new(1).await;
    let client = world.builder().endpoint_timeout(Duration::ZERO).build().unwrap();
    assert_eq!(within("an answer", client.get(world.url()).send()).await.unwrap().status(), 200);

    let nobody = "http://nobody.shop/";
    assert!(within("an answer", client.get(nobody).send()).await.is_err());
    let error = client.get(nobody).send().now_or_never().expect("at once").unwrap_err();
    assert!(error.as_discovery().is_some_and(|error| error.is_not_found()), "{error:?}");
}

#[tokio::test]
async fn a_request_waits_for_an_endpoint_within_its_patience() {
    let world = World::new(0).await;
    let client = world.builder().endpoint_timeout(PATIENCE).build().unwrap();
    let mut call = pin!(client.get(world.url()).send());
    assert!(call.as_mut().now_or_never().is_none());
    world.service.add_pod().await.unwrap();
    assert_eq!(within("an answer", call).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_slow_pod_gets_less() {
    let world = World::new(4).await;
    world.pod(0).set_behavior(Behavior::Slow(Duration::from_millis(500)));
    let (errors, _) = send(&world.client(), &world.url(), 2_000, 16).await;
    assert!(errors.is_empty(), "{errors:?}");
    let received = world.received();
    println!("one pod of 4 takes 500 ms: {received:?} of 2000 requests");
    assert!(received[0] < 250, "{received:?}: half of an even share");
}

#[tokio::test]
async fn an_error_never_shows_credentials() {
    const SECRET: &str = "hunter2";
    let world = World::new(1).await;
    world.service.kill(0).await;
    let builder = world.builder().endpoint_timeout(Duration::ZERO);
    let client = builder.build().unwrap();
    let port = world.service.port();
    let refused = [
        client.get(format!("http://orders.shop:{port}/")).basic_auth("me", Some(SECRET)),
        client.get(format!("http://orders.shop:{port}/")).bearer_auth(SECRET),
        client.get(format!("http://me:{SECRET}@orders.shop:{port}/")),
        client.get(format!("http://me:{SECRET}@nobody.shop/")),
        client.get(format!("http://me:{SECRET}@orders_v2.shop/")),
        client.get(format!("http://me:{SECRET}@orders.shop:port/")),
        client.get(format!("http://me:{SECRET}@")),
        client.get(format!("ftp://me:{SECRET}@orders.shop/")),
    ];
    for request in refused {
        assert!(!format!("{request:?}").contains(SECRET), "{request:?}");
        let error = within("an answer", request.send()).await.unwrap_err();
        assert!(!texts(&error).contains(SECRET), "{}", texts(&error));
    }
    // A user or password that is no UTF-8 is nobody's, and no reason to show the other.
    for odd in [format!("%FF:{SECRET}"), format!(":%FF{SECRET}")] {
        for host in [format!("orders.shop:{port}"), "nobody.shop".to_owned()] {
            let error = within("an answer", client.get(format!("http://{odd}@{host}/")).send()).await.unwrap_err();
            assert!(!texts(&error).contains(SECRET), "{}", texts(&error));
        }
    }
    // Around the builder, which would have taken them out of the URL.
    for host in [format!("orders.shop:{port}"), "nobody.shop".to_owned(), "orders_v2.shop".to_owned()] {
        let url: Url = format!("http://me:{SECRET}@{host}/").parse().unwrap();
        let error = within("an answer", client.execute(Request::new(Method::GET, url))).await.unwrap_err();
        assert!(!texts(&error).contains(SECRET), "{}", texts(&error));
    }
    assert!(!format!("{client:?}").contains(SECRET));

    // They are sent nevertheless.
    let echo = |request: http::Request<Bytes>| {
        let sent = request.headers().get("authorization").cloned();
        let sent = sent.map(|value| Bytes::copy_from_slice(value.as_bytes()));
        http::Response::new(sent.unwrap_or_default())
    };
    let pod = FakePod::with_handler("echo", echo).await.unwrap();
    let url: Url = format!("http://me:{SECRET}@{}/", pod.addr()).parse().unwrap();
    for response in [client.get(url.clone()).send().await, client.execute(Request::new(Method::GET, url)).await] {
        assert_eq!(response.unwrap().text().await.unwrap(), "Basic bWU6aHVudGVyMg==");
    }
}
