//! `discovery_reqwest::Client`: what is retried, and within which budget.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use discovery_core::policy::RoundRobin;
use discovery_reqwest::{Client, RequestBuilder, ResponseExt};
use discovery_testing::{Behavior, FakeCluster};
use futures_util::future::join;
use reqwest::Method;
use tests::{error_texts, in_pod};
use tokio::task::JoinSet;

use crate::support::{
    client::{ClientWorld, over_http, send, streamed, within},
    dns::dns,
    pods::{kill_during_requests, kill_the_called_pod},
};

#[tokio::test]
async fn retries_a_connect_error_on_another_endpoint() {
    let world = ClientWorld::new(4).await;
    world.service.kill(0).await;
    let (errors, retried) = send(&world.client(), &world.url(), 1_000, 8).await;
    println!("one refusing endpoint of 4, still in DNS: {} of 1000 failed, {retried} retried", errors.len());
    assert!(errors.is_empty(), "{errors:?}");
    assert!(retried > 0, "the refusing endpoint was never tried");
}

#[tokio::test]
async fn a_retry_sends_the_whole_request() {
    let cluster = FakeCluster::with_dns(dns().await);
    let echo = |request: http::Request<Bytes>| {
        let header = request.headers().get("x-own").map_or("-", |value| value.to_str().unwrap());
        let seen = format!("{} {} {header} ", request.method(), request.uri());
        http::Response::new(Bytes::from([seen.as_bytes(), request.body()].concat()))
    };
    let service = cluster.service("shop", "orders").replicas(2).handler(echo).start().await.unwrap();
    service.kill(0).await;
    let url = format!("http://orders.shop:{}/v1?a=b", service.port());
    let minute = Duration::from_secs(60);
    type Make<'a> = &'a dyn Fn(&Client) -> RequestBuilder;
    let requests: [(Make<'_>, &str); 5] = [
        (&|client| client.get(&url), "GET /v1?a=b - "),
        (&|client| client.delete(&url).header("x-own", "1"), "DELETE /v1?a=b 1 "),
        (&|client| client.get(&url).header("x-own", "2").timeout(minute), "GET /v1?a=b 2 "),
        (&|client| client.post(&url).header("x-own", "3").body("an order"), "POST /v1?a=b 3 an order"),
        (&|client| client.put(&url).timeout(minute).body("an order"), "PUT /v1?a=b - an order"),
    ];
    for (request, expected) in requests {
        // A client of its own: one refusal makes the endpoint unreachable for the requests that follow.
        let client = Client::new(in_pod(cluster.dns(), "shop").policy(RoundRobin::new()).build().unwrap());
        let mut retried = false;
        for _ in 0..4 {
            let response = within("an answer", request(&client).send()).await.unwrap();
            retried |= response.endpoints_tried() > 1;
            assert_eq!(response.text().await.unwrap(), expected);
        }
        assert!(retried, "{expected}: round robin never met the endpoint that refuses");
    }
}

#[tokio::test]
async fn the_error_counts_the_endpoints_tried_and_keeps_the_cause() {
    for (replicas, tried, text) in [
        (1, 1, " failed at endpoint 127."),
        (2, 2, " failed at 2 endpoints, last at 127."),
        (5, 3, " failed at 3 endpoints, last at 127."),
    ] {
        let world = ClientWorld::new(replicas).await;
        for index in 0..replicas {
            world.service.kill(index).await;
        }
        let error = world.client().post(world.url()).body("an order").send().await.unwrap_err();
        assert_eq!(error.endpoints_tried(), tried);
        let line = error.to_string();
        assert!(line.starts_with("request to http://orders") && line.contains(text), "{line}");
        assert!(line.ends_with("Connection refused (os error 111)"), "{line}");
        assert!(error.is_connect() && error.as_discovery().is_none());
        assert!(error_texts(&error).contains("Connection refused"), "{}", error_texts(&error));
    }
}

/// Each target has its own budget: a reserve of 100 retries, and 10 more per second.
#[tokio::test]
async fn the_budget_bounds_retries_in_an_outage() {
    let world = ClientWorld::new(3).await;
    let billing = world.cluster.service("money", "billing").replicas(2).start().await.unwrap();
    for index in 0..3 {
        world.service.kill(index).await;
    }
    billing.kill(0).await;
    billing.kill(1).await;
    let client = world.client();
    let begun = Instant::now();
    let (errors, _) = send(&client, &world.url(), 500, 8).await;
    let retried: usize = errors.iter().map(|error| error.endpoints_tried() - 1).sum();
    let most = 100 + 500 / 5 + (begun.elapsed().as_secs_f64() * 10.0).ceil() as usize;
    assert!((200..=most).contains(&retried), "{retried} retries, of at most {most}");
    let over = errors.iter().find(|error| error.is_over_budget()).expect("a request over budget");
    assert!(over.to_string().contains("budget") && over.is_connect() && over.endpoints_tried() < 3, "{over}");

    let error = client.get(format!("http://billing.money:{}/", billing.port())).send().await.unwrap_err();
    assert_eq!((error.endpoints_tried(), error.is_over_budget()), (2, false), "{error}");
}

#[tokio::test]
async fn a_streaming_body_is_not_retried_and_the_error_says_why() {
    let world = ClientWorld::new(3).await;
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

#[tokio::test]
async fn a_pod_killed_without_notice_fails_no_idempotent_request() {
    for http2 in [false, true] {
        let world = ClientWorld::new(4).await;
        let resolver = world.resolver().build().unwrap();
        let client = Client::builder(resolver).configure(over_http(http2)).build().unwrap();
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut workers = JoinSet::new();
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
        kill_during_requests(&pod).await;
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
async fn a_sent_request_that_is_not_idempotent_is_not_retried() {
    for method in [Method::POST, Method::PATCH] {
        let world = ClientWorld::new(3).await;
        let pods = world.service.pods();
        pods.iter().for_each(|pod| pod.set_behavior(Behavior::Hanging));
        let call = world.client().request(method.clone(), world.url()).send();
        let (result, ()) = join(call, kill_the_called_pod(&pods)).await;
        let error = result.unwrap_err();
        assert_eq!((error.endpoints_tried(), world.received().iter().sum::<usize>()), (1, 1), "{method}: {error:?}");
    }
}

#[tokio::test]
async fn a_request_timeout_is_not_retried() {
    let world = ClientWorld::new(3).await;
    world.service.pods().iter().for_each(|pod| pod.set_behavior(Behavior::Hanging));
    let error = world.client().get(world.url()).timeout(Duration::from_millis(100)).send().await.unwrap_err();
    assert!(error.is_timeout() && !error.is_connect(), "{error:?}");
    assert_eq!(error.endpoints_tried(), 1);
}

/// A pod that hangs accepts connections and reports no error.
#[tokio::test]
async fn fails_over_from_a_hanging_pod_after_the_attempt_timeout() {
    let world = ClientWorld::new(3).await;
    let client = world.builder().attempt_timeout(Duration::from_millis(100));
    let client = client.build().unwrap();
    world.pod(0).set_behavior(Behavior::Hanging);
    let (errors, retried) = send(&client, &world.url(), 300, 4).await;
    assert!(errors.is_empty(), "{errors:?}");
    assert!((1..=60).contains(&retried), "{retried} of 300: requests in flight count, so that few go there");

    // A POST is not retried and keeps waiting. Nothing is retried when all pods were tried.
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
