//! Pods that connections cannot be established to: a partition, a NetworkPolicy, a node that is gone.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use discovery_core::{Environment, Resolver, Upstream, endpoint::Endpoint, policy::RoundRobin};
use discovery_reqwest::{Client, Error};
use discovery_testing::{FakePod, ManualSource};
use http::Method;
use tests::{FullBacklog, figure, within_load as within};

const URL: &str = "http://orders:8080/";

/// A time limit shorter than 250 ms, the time after which a request moves to another endpoint.
const SHORT: Duration = Duration::from_millis(150);

struct World {
    client: Client,
    upstream: Upstream,
    hole: FullBacklog,
    pod: FakePod,
}

/// A pod and a hole, which get requests in turn.
async fn world() -> World {
    let (hole, pod) = (FullBacklog::start().await.unwrap(), FakePod::start("pod").await.unwrap());
    let (source, handle) = ManualSource::new();
    handle.set_endpoints([hole.addr().unwrap(), pod.addr()].map(Endpoint::new));
    let builder = Resolver::builder().environment(Environment::empty()).source(Arc::new(source));
    let resolver = builder.policy(RoundRobin::new()).build().unwrap();
    let upstream = within("an answer", resolver.resolve(URL)).await.unwrap();
    World { client: Client::builder(resolver).no_proxy().build().unwrap(), upstream, hole, pod }
}

impl World {
    async fn send(&self, method: Method, limit: Duration) -> Result<String, Error> {
        let response = self.client.request(method, URL).timeout(limit).body("once").send().await?;
        Ok(response.text().await.unwrap())
    }

    fn is_unreachable(&self, addr: SocketAddr) -> bool {
        let explained = self.upstream.explain();
        let known = explained.endpoints.iter().find(|one| one.addr() == addr).unwrap();
        explained.unreachable.contains(known.identity())
    }
}

#[tokio::test]
async fn a_request_goes_elsewhere_while_its_connection_is_being_established() {
    for method in [Method::POST, Method::GET] {
        let world = world().await;
        let mut slowest = Duration::ZERO;
        for _ in 0..40 {
            let begun = Instant::now();
            let answer = within("an answer", world.send(method.clone(), Duration::from_secs(2))).await;
            assert_eq!(answer.unwrap(), "pod");
            slowest = slowest.max(begun.elapsed());
        }
        figure("the slowest request beside a hole", slowest);
        assert!(slowest >= Duration::from_millis(200), "no request met the hole: {slowest:?}");
        assert_eq!(world.pod.requests(), 40, "each request once");
        assert!(world.is_unreachable(world.hole.addr().unwrap()));
    }
}

#[tokio::test]
async fn a_request_without_a_body_goes_elsewhere_as_well() {
    let world = world().await;
    for _ in 0..4 {
        let response = within("an answer", world.client.post(URL).send()).await.unwrap();
        assert_eq!(response.status(), 200);
    }
    assert!(world.is_unreachable(world.hole.addr().unwrap()));
}

#[tokio::test]
async fn a_time_limit_that_strikes_while_connecting_makes_the_endpoint_unreachable() {
    let world = world().await;
    let mut failed = 0;
    for _ in 0..20 {
        failed += usize::from(within("an end", world.send(Method::POST, SHORT)).await.is_err());
    }
    assert_eq!(failed, 1, "the first request at the hole");
    assert!(world.is_unreachable(world.hole.addr().unwrap()));
}

#[tokio::test]
async fn a_request_that_its_caller_drops_while_connecting_makes_the_endpoint_unreachable() {
    let world = world().await;
    let mut dropped = 0;
    for _ in 0..20 {
        let sent = tokio::time::timeout(SHORT, world.client.post(URL).send()).await;
        dropped += usize::from(sent.is_err());
    }
    assert_eq!(dropped, 1, "the first request at the hole");
    assert!(world.is_unreachable(world.hole.addr().unwrap()));
}

#[tokio::test]
async fn a_request_that_is_dropped_at_once_says_nothing() {
    let world = world().await;
    for _ in 0..10 {
        let _ = tokio::time::timeout(Duration::from_millis(1), world.client.post(URL).send()).await;
    }
    assert!(!world.is_unreachable(world.hole.addr().unwrap()));
}

#[tokio::test]
async fn requests_return_within_seconds_after_connections_can_be_established() {
    let world = world().await;
    let hole = world.hole.addr().unwrap();
    for _ in 0..2 {
        within("an answer", world.send(Method::POST, Duration::from_secs(2))).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(world.is_unreachable(hole));
    let World { client, upstream, hole: full, pod } = world;
    let listener = full.open().await.unwrap();
    let healed = Instant::now();
    let closing = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let explained = || upstream.explain().unreachable.len();
    while explained() > 0 {
        assert!(healed.elapsed() < Duration::from_secs(20), "still unreachable");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    figure("reachable again after", healed.elapsed());
    closing.abort();
    drop((client, pod));
}
