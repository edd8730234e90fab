//! The endpoints' clients of `discovery_reqwest::Client`: what they share, and what ends with an endpoint.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use discovery_core::policy::RoundRobin;
use discovery_reqwest::Client;
use discovery_testing::{Behavior, FakePod};
use http::{Extensions, Response, header};
use reqwest::{Method, Request, Url};
use reqwest_middleware::{Middleware, Next};
use tests::{error_texts, until};

use crate::support::client::{self, ClientWorld, over_http, send, within};

#[tokio::test]
async fn removing_an_endpoint_closes_its_connections() {
    for http2 in [false, true] {
        let world = ClientWorld::new(3).await;
        let resolver = world.resolver().policy(RoundRobin::new()).build().unwrap();
        let upstream = resolver.upstream(world.url().as_str()).unwrap();
        let client = Client::builder(resolver).configure(over_http(http2)).build().unwrap();
        assert!(send(&client, &world.url(), 12, 6).await.0.is_empty());
        let pods = world.service.pods();
        assert!(pods.iter().all(|pod| pod.counters().open > 0));

        // The pod still serves: the client closes the connections.
        world.service.set_ready(0, false);
        within("the end of its connections", pods[0].when(|seen| seen.open == 0)).await;
        until(&upstream, "two pods", |set| set.len() == 2).await;
        assert!(send(&client, &world.url(), 10, 2).await.0.is_empty());
        assert!(pods[0].requests() == 4 && pods[1..].iter().all(|pod| pod.counters().open > 0));
    }
}

/// A user who logs in at one pod is logged in at the others.
#[tokio::test]
async fn all_pods_share_one_cookie_store() {
    let world = ClientWorld::new(0).await;
    let pods = world.cluster.service("shop", "till").replicas(3).handler(|request| {
        let known = request.headers().get(header::COOKIE).cloned();
        let response = Response::builder();
        let response = match known {
            Some(cookie) => response.header("x-cookie", cookie),
            None => response.header(header::SET_COOKIE, "session=1; Path=/"),
        };
        response.body(Bytes::new()).unwrap()
    });
    let till = pods.start().await.unwrap();
    let url = format!("http://till.shop:{}/", till.port());
    let client = world.builder().cookie_store().build().unwrap();
    let mut seen = Vec::new();
    for _ in 0..12 {
        let response = within("an answer", client.get(&url).send()).await.unwrap();
        seen.push(client::header(&response, "x-cookie").to_owned());
    }
    assert_eq!(seen[0], "");
    assert!(seen[1..].iter().all(|cookie| cookie == "session=1"), "{seen:?}");
    assert!(till.requests().values().filter(|requests| **requests > 0).count() > 1, "{:?}", till.requests());
}

struct CountingMiddleware(Arc<AtomicUsize>);

#[async_trait]
impl Middleware for CountingMiddleware {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<reqwest::Response> {
        self.0.fetch_add(1, Ordering::Relaxed);
        next.run(request, extensions).await
    }
}

#[tokio::test]
async fn the_client_ends_a_chain_of_middleware() {
    let world = ClientWorld::new(3).await;
    let count = Arc::new(AtomicUsize::new(0));
    let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new());
    let client = client.with(CountingMiddleware(count.clone())).with(world.client()).build();
    for _ in 0..60 {
        assert_eq!(within("an answer", client.get(world.url()).send()).await.unwrap().status(), 200);
    }
    assert_eq!(count.load(Ordering::Relaxed), 60);
    assert!(world.received().iter().all(|requests| *requests > 0), "{:?}", world.received());

    // reqwest's errors keep their type, so that a retry middleware recognizes them.
    world.service.pods().iter().for_each(|pod| pod.set_behavior(Behavior::Hanging));
    let late = client.get(world.url()).timeout(Duration::from_millis(50)).send().await.unwrap_err();
    assert!(late.is_timeout(), "{late:?}");
    let invalid = client.get("http://-invalid/").send().await.unwrap_err();
    let reqwest_middleware::Error::Middleware(invalid) = invalid else { panic!("{invalid:?}") };
    let invalid: discovery_reqwest::Error = invalid.downcast().unwrap();
    assert!(invalid.as_discovery().is_some_and(discovery_core::Error::is_invalid_name), "{invalid:?}");
}

#[tokio::test]
async fn errors_never_show_credentials() {
    const SECRET: &str = "hunter2";
    let world = ClientWorld::new(1).await;
    world.service.kill(0).await;
    let builder = world.builder().endpoint_timeout(Duration::ZERO);
    let client = builder.build().unwrap();
    let port = world.service.port();
    let refused = [
        client.get(format!("http://orders.shop:{port}/")).basic_auth("me", Some(SECRET)),
        client.get(format!("http://orders.shop:{port}/")).bearer_auth(SECRET),
        client.get(format!("http://me:{SECRET}@orders.shop:{port}/")),
        client.get(format!("http://me:{SECRET}@nobody.shop/")),
        client.get(format!("http://me:{SECRET}@orders_v2.shop.svc/")),
        client.get(format!("http://me:{SECRET}@orders.shop:port/")),
        client.get(format!("http://me:{SECRET}@")),
        client.get(format!("ftp://me:{SECRET}@orders.shop/")),
    ];
    for request in refused {
        assert!(!format!("{request:?}").contains(SECRET), "{request:?}");
        let error = within("an answer", request.send()).await.unwrap_err();
        assert!(!error_texts(&error).contains(SECRET), "{}", error_texts(&error));
    }
    // A user or password that is not UTF-8 is invalid, and the error still hides the other one.
    for odd in [format!("%FF:{SECRET}"), format!(":%FF{SECRET}")] {
        for host in [format!("orders.shop:{port}"), "nobody.shop".to_owned()] {
            let error = within("an answer", client.get(format!("http://{odd}@{host}/")).send()).await.unwrap_err();
            assert!(!error_texts(&error).contains(SECRET), "{}", error_texts(&error));
        }
    }
    // `execute` bypasses the builder, which takes them out of the URL.
    for host in [format!("orders.shop:{port}"), "nobody.shop".to_owned(), "orders_v2.shop.svc".to_owned()] {
        let url: Url = format!("http://me:{SECRET}@{host}/").parse().unwrap();
        let error = within("an answer", client.execute(Request::new(Method::GET, url))).await.unwrap_err();
        assert!(!error_texts(&error).contains(SECRET), "{}", error_texts(&error));
    }
    assert!(!format!("{client:?}").contains(SECRET));

    // The client sends them nevertheless.
    let echo = |request: http::Request<Bytes>| {
        let sent = request.headers().get("authorization").cloned();
        let sent = sent.map(|value| Bytes::copy_from_slice(value.as_bytes()));
        Response::new(sent.unwrap_or_default())
    };
    let pod = FakePod::with_handler("echo", echo).await.unwrap();
    let url: Url = format!("http://me:{SECRET}@{}/", pod.addr()).parse().unwrap();
    for response in [client.get(url.clone()).send().await, client.execute(Request::new(Method::GET, url)).await] {
        assert_eq!(response.unwrap().text().await.unwrap(), "Basic bWU6aHVudGVyMg==");
    }
}
