//! How `discovery_reqwest::Client` spreads its requests.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use discovery_core::policy::RoundRobin;
use discovery_reqwest::{Client, DiscoveryResolver};
use discovery_testing::{Behavior, FakePod, ManualSource};
use http::{Request, Response, header};

use crate::support::client::{ClientWorld, over_http, send, within};

/// How 3200 requests are spread over 4 pods.
async fn spread(http2: bool, policy: Option<RoundRobin>) -> Vec<usize> {
    let world = ClientWorld::new(4).await;
    let builder = world.resolver();
    let builder = match policy {
        Some(policy) => builder.policy(policy),
        None => builder,
    };
    let client = Client::builder(builder.build().unwrap()).configure(over_http(http2)).build().unwrap();
    let (errors, _) = send(&client, &world.url(), 3_200, 16).await;
    assert!(errors.is_empty(), "{errors:?}");
    let connections: Vec<_> = world.service.pods().iter().map(FakePod::connections).collect();
    let received = world.received();
    println!("HTTP/2 {http2}, {policy:?}: {received:?} over {connections:?} connections");
    received
}

/// A plain client sends [0, 3200, 0, 0] over HTTP/2 (`docs/failure-modes.md`, peers' figures).
#[tokio::test]
async fn spreads_requests_evenly_over_http1_and_http2() {
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

#[tokio::test]
async fn a_slow_pod_gets_fewer_requests() {
    let world = ClientWorld::new(4).await;
    world.pod(0).set_behavior(Behavior::Slow(Duration::from_millis(500)));
    let (errors, _) = send(&world.client(), &world.url(), 2_000, 16).await;
    assert!(errors.is_empty(), "{errors:?}");
    let received = world.received();
    println!("one pod of 4 takes 500 ms: {received:?} of 2000 requests");
    assert!(received[0] < 250, "{received:?}: less than half of an even share");
}

/// A pod that fails fast looks idle.
#[tokio::test]
async fn a_pod_that_fails_fast_or_sends_retry_after_gets_fewer_requests() {
    for (status, retry_after) in [(503, None), (500, None), (429, Some("60")), (503, Some("60"))] {
        let answer = move |status: u16| {
            move |_: Request<Bytes>| {
                let response = Response::builder().status(status);
                let response = match retry_after.filter(|_| status != 200) {
                    Some(seconds) => response.header(header::RETRY_AFTER, seconds),
                    None => response,
                };
                response.body(Bytes::new()).unwrap()
            }
        };
        let mut pods = Vec::new();
        for (name, status) in [("bad", status), ("good-0", 200), ("good-1", 200), ("good-2", 200)] {
            pods.push(FakePod::with_handler(name, answer(status)).await.unwrap());
        }
        let (source, handle) = ManualSource::new();
        let addrs: Vec<_> = pods.iter().map(|pod| pod.addr().to_string()).collect();
        handle.set(addrs.iter().map(String::as_str));
        let world = ClientWorld::new(0).await;
        let client = Client::new(world.resolver().source(Arc::new(source)).build().unwrap());
        let (errors, _) = send(&client, "http://manual/", 1_000, 8).await;
        assert!(errors.is_empty(), "a status is a response: {errors:?}");
        let received: Vec<_> = pods.iter().map(FakePod::requests).collect();
        println!("one pod of 4 answers {status}, Retry-After {retry_after:?}: {received:?}");
        assert!(received[0] < 100, "{status}: {received:?}, less than half of an even share");
    }
}

#[tokio::test]
async fn a_plain_client_on_discovery_resolver_spreads_its_connections() {
    let world = ClientWorld::new(4).await;
    let resolver = world.resolver().build().unwrap();
    let client = reqwest::Client::builder()
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
