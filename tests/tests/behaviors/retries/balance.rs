//! `discovery_tower::Balance`: what is retried, and within which budget.

use std::{
    collections::BTreeSet,
    error::Error as _,
    future::ready,
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use discovery_core::{Environment, Resolver, policy::RoundRobin};
use discovery_testing::{Behavior, ManualSource};
use discovery_tower::{Balance, NoRetry};
use futures_util::future::join;
use http::{Method, Response};
use hyper_util::client::legacy;
use tower::{ServiceExt, service_fn};

use crate::support::{
    balance::{BalanceWorld, Call, NoBody, ToPod, Traffic, failed, received, request, send},
    pods::{kill_during_requests, kill_the_called_pod},
};

/// tonic loses 19 % here, permanently (`docs/failure-modes.md`, peers' figures).
#[tokio::test]
async fn one_refusing_endpoint_of_four_fails_no_request() {
    let world = BalanceWorld::new(4).await;
    world.service.kill(0).await;
    let dead = world.pod(0).addr();
    let results = send(&world.balance(), 0..2_000, 16).await;
    let log = world.log.lock().unwrap();
    let met = log.values().filter(|attempts| attempts.contains(&dead)).count();
    println!("one refusing endpoint of 4, still in DNS: 0 of 2000 requests failed, {met} met it");
    assert_eq!(failed(&results), [""; 0]);
    assert!(met > 0, "the refusing endpoint was never tried");
}

#[tokio::test]
async fn retries_on_untried_endpoints_only() {
    let world = BalanceWorld::new(4).await;
    world.service.kill(0).await;
    world.service.kill(1).await;
    let results = send(&world.balance(), 0..300, 4).await;
    assert_eq!(failed(&results), [""; 0], "one of any three endpoints is alive");
    let log = world.log.lock().unwrap();
    for (number, attempts) in &*log {
        let distinct: BTreeSet<_> = attempts.iter().collect();
        assert_eq!(distinct.len(), attempts.len(), "request {number}: {attempts:?}");
    }
    let longest = log.values().map(Vec::len).max();
    assert!(log.len() == 300 && longest > Some(1), "{longest:?}");
}

#[tokio::test]
async fn the_error_counts_the_endpoints_tried_and_keeps_the_cause() {
    for (replicas, tried, text) in [
        (1, 1, " failed at endpoint 127."),
        (2, 2, " failed at 2 endpoints, last at 127."),
        (5, 3, " failed at 3 endpoints, last at 127."),
    ] {
        let world = BalanceWorld::new(replicas).await;
        for index in 0..replicas {
            world.service.kill(index).await;
        }
        let error = send(&world.balance(), 0..1, 1).await.remove(0).unwrap_err();
        assert_eq!(error.endpoints_tried(), tried);
        let line = error.to_string();
        assert!(line.starts_with("request to http://orders") && line.contains(text), "{line}");
        assert!(line.ends_with("Connection refused (os error 111)"), "{line}");
        assert!(error.as_discovery().is_none());
        let source = error.source().and_then(|source| source.downcast_ref::<legacy::Error>());
        assert!(source.is_some_and(legacy::Error::is_connect), "{error:?}");
    }
}

/// The budget is the reserve of 100 and a fifth of the requests, however many fail. Time is paused, so that the reserve
/// does not refill.
#[tokio::test(start_paused = true)]
async fn the_budget_bounds_retries_in_an_outage() {
    let (source, handle) = ManualSource::new();
    handle.set(["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]);
    let builder = Resolver::builder().environment(Environment::empty());
    let resolver = builder.source(Arc::new(source)).build().unwrap();
    let upstream = resolver.resolve("orders:80").await.unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let balance = Balance::new(upstream, move |_| {
        let counted = counted.clone();
        service_fn(move |_: Call| {
            counted.fetch_add(1, Ordering::Relaxed);
            ready(Err::<Response<NoBody>, _>(io::Error::from(io::ErrorKind::ConnectionRefused)))
        })
    });
    let mut over = 0;
    for number in 0..1_000 {
        let error = balance.clone().oneshot(request(Method::GET, number)).await.unwrap_err();
        over += usize::from(error.is_over_budget());
        assert_eq!(error.to_string().contains("budget"), error.is_over_budget(), "{error}");
        assert_eq!(error.is_over_budget(), error.endpoints_tried() < 3, "{error}");
    }
    assert_eq!(sent.load(Ordering::Relaxed), 1_000 + 100 + 200);
    assert!(over >= 800, "{over}");
}

#[tokio::test]
async fn a_pod_killed_without_notice_fails_no_idempotent_request() {
    for http2 in [false, true] {
        let world = BalanceWorld::new(4).await;
        let log = world.log.clone();
        let balance = Balance::new(world.upstream.clone(), move |endpoint| ToPod::over(http2, endpoint, &log));
        let traffic = Traffic::start(&balance, 16);
        traffic.more(200).await;
        let pod = world.pod(0);
        kill_during_requests(&pod).await;
        traffic.more(1_000).await;
        let (sent, errors) = traffic.stop().await;
        let cut = pod.counters().requests - pod.counters().served;
        println!("a pod killed without notice, HTTP/2 {http2}: {cut} of {sent} cut off, {} failed", errors.len());
        assert!(cut >= 2, "{cut}");
        assert!(errors.is_empty(), "{errors:?}");
    }
}

#[tokio::test]
async fn a_sent_request_that_is_not_idempotent_is_not_retried() {
    for method in [Method::POST, Method::PATCH] {
        let world = BalanceWorld::with_policy(3, RoundRobin::new()).await;
        let pods = world.service.pods();
        pods.iter().for_each(|pod| pod.set_behavior(Behavior::Hanging));
        let mut call = pin!(world.balance().oneshot(request(method.clone(), 0)));
        let (result, ()) = join(call.as_mut(), kill_the_called_pod(&pods)).await;
        let error = result.unwrap_err();
        assert_eq!((error.endpoints_tried(), received(&pods).iter().sum::<usize>()), (1, 1), "{method}: {error:?}");
    }
}

/// Without a connection no request was sent, so that even a POST is retried, unless the application forbids it.
#[tokio::test]
async fn retries_a_connect_error_whatever_the_method() {
    let world = BalanceWorld::with_policy(2, RoundRobin::new()).await;
    world.service.kill(0).await;
    let balance = world.balance();
    for number in 0..4 {
        balance.clone().oneshot(request(Method::POST, number)).await.unwrap();
    }
    // With loads of its own: the first refusal makes an endpoint unreachable for later calls.
    let world = BalanceWorld::with_policy(2, RoundRobin::new()).await;
    world.service.kill(0).await;
    let once = world.balance().with_retry_policy(NoRetry::new());
    let mut refused = 0;
    for number in 4..6 {
        refused += usize::from(once.clone().oneshot(request(Method::POST, number)).await.is_err());
    }
    assert_eq!(refused, 1, "without a retry");
}
