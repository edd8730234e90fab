//! The HTTP client of `discovery-tower` beside pods that cannot be connected to.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use discovery_core::{Environment, Resolver, endpoint::Endpoint, policy::RoundRobin};
use discovery_testing::{FakePod, ManualSource};
use discovery_tower::{EndpointConnector, HttpClient, is_refused};
use http::{Request, Uri};
use http_body_util::{Empty, Full};
use hyper_util::rt::TokioIo;
use tests::{FullBacklog, eventually, within};
use tower::Service;

#[tokio::test]
async fn posts_fail_over_from_a_pod_that_drops_connections_until_a_probe_reaches_it() {
    let (hole, pod) = (FullBacklog::start().await.unwrap(), FakePod::start("pod").await.unwrap());
    let silent = hole.addr().unwrap();
    let (source, handle) = ManualSource::new();
    handle.set_endpoints([silent, pod.addr()].map(Endpoint::new));
    let builder = Resolver::builder().environment(Environment::empty()).source(Arc::new(source));
    let resolver = builder.policy(RoundRobin::new()).build().unwrap();
    let upstream = within("an answer", resolver.resolve("http://orders")).await.unwrap();
    let client = HttpClient::builder(upstream.clone()).connect_timeout(Duration::from_millis(200)).build().unwrap();
    for _ in 0..20 {
        let post = Request::post("/v1").body(Full::new(Bytes::from("once"))).unwrap();
        let response = within("a response", client.request(post)).await.unwrap();
        assert_eq!(response.status(), 200);
    }
    assert_eq!(pod.requests(), 20, "each request once");
    let unreachable = |upstream: &discovery_core::Upstream| {
        let explained = upstream.explain();
        explained.endpoints.iter().any(|one| one.addr() == silent && explained.unreachable.contains(one.identity()))
    };
    assert!(unreachable(&upstream));

    // Requests find out nothing here: there are none.
    let _listener = hole.open().await.unwrap();
    eventually(&upstream, "a probe reaches the pod", |upstream| !unreachable(upstream)).await;
}

#[tokio::test]
async fn connections_fail_at_once_for_a_moment_after_one_that_nothing_answered() {
    let hole = FullBacklog::start().await.unwrap();
    let addr = hole.addr().unwrap();
    let mut connector = EndpointConnector::new(&Endpoint::new(addr), 80);
    let mut connect = async || connector.call(Uri::from_static("http://orders")).await.unwrap_err().to_string();
    // Nothing happens on the network that the paused clock could overtake: the hole never answers.
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    let first = connect().await;
    assert!(first.contains(&addr.to_string()) && first.contains("no answer within 1s"), "{first}");
    let waited = begun.elapsed();
    let second = connect().await;
    assert!(second.contains("did not answer another connection"), "{second}");
    assert_eq!(begun.elapsed(), waited, "at once");
    tokio::time::advance(Duration::from_millis(250)).await;
    assert!(connect().await.contains("no answer within 1s"), "tried again");
}

#[tokio::test]
async fn a_request_that_hyper_did_not_begin_to_send_counts_as_refused() {
    let pod = FakePod::start("pod").await.unwrap();
    let stream = tokio::net::TcpStream::connect(pod.addr()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await.unwrap();
    drop(connection);
    let error = sender.send_request(Request::new(Empty::new())).await.unwrap_err();
    assert!(error.is_canceled() && is_refused(&error), "{error:?}");
    assert_eq!(pod.requests(), 0);
}
