//! Streams that an HTTP/2 server refuses before it processes them. The pods write the frames of RFC 9113 by hand.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use discovery_core::{
    Resolver, Upstream,
    endpoint::{Conditions, Endpoint},
    policy::RoundRobin,
};
use discovery_reqwest::{Client, ResponseExt};
use discovery_testing::{FakeDns, FakePod, ManualSource};
use discovery_tower::{Balance, HttpRetry, InFlightBody, NoRetry, RetryPolicy};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use reqwest::Method;
use tests::{error_texts, in_pod};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::ServiceExt;

use crate::support::client::{streamed, within};

const PREFACE: usize = 24;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
/// A flag of SETTINGS.
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;

/// What a pod sends instead of an answer.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    Reset(u32),
    GoAway(u32),
}

/// A pod that refuses its first requests and serves those that follow.
struct Http2Pod {
    addr: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

impl Http2Pod {
    async fn start(refusal: Refusal, times: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let pod = Self { addr, connections: connections.clone(), requests: requests.clone() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Relaxed);
                tokio::spawn(serve(stream, refusal, times, requests.clone()));
            }
        });
        pod
    }

    fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }

    fn requests(&self) -> usize {
        self.requests.load(Relaxed)
    }
}

/// Serves one connection until the client closes it.
async fn serve(
    mut client: TcpStream,
    refusal: Refusal,
    times: usize,
    requests: Arc<AtomicUsize>,
) -> std::io::Result<()> {
    client.read_exact(&mut [0; PREFACE]).await?;
    client.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    let mut refused = 0;
    loop {
        let mut head = [0; 9];
        client.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        client.read_exact(&mut payload).await?;
        let stream = u32::from_be_bytes(stream);
        if kind == SETTINGS && flags & ACK == 0 {
            client.write_all(&frame(SETTINGS, ACK, 0, &[])).await?;
        }
        if kind == HEADERS && requests.fetch_add(1, Relaxed) < times {
            refused = stream;
            let refusal = match refusal {
                Refusal::Reset(code) => frame(RST_STREAM, 0, stream, &code.to_be_bytes()),
                // The last stream that the pod processed is the one before.
                Refusal::GoAway(code) => {
                    frame(GOAWAY, 0, 0, &[(stream - 1).to_be_bytes(), code.to_be_bytes()].concat())
                }
            };
            client.write_all(&refusal).await?;
        } else if (kind == HEADERS || kind == DATA) && flags & END_STREAM != 0 && stream != refused {
            // 0x88 is `:status: 200` (RFC 7541, appendix A).
            client.write_all(&frame(HEADERS, END_STREAM | END_HEADERS, stream, &[0x88])).await?;
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A client of Service `orders` with these pods.
async fn client(pods: &[&Http2Pod]) -> Client {
    client_of(pods.iter().map(|pod| Endpoint::new(pod.addr))).await
}

async fn resolver_of(endpoints: impl IntoIterator<Item = Endpoint>) -> Resolver {
    let dns = FakeDns::start().await.unwrap();
    let (source, handle) = ManualSource::new();
    handle.set_endpoints(endpoints);
    in_pod(&dns, "shop").policy(RoundRobin::new()).source(Arc::new(source)).build().unwrap()
}

/// What `Balance` sends and returns. Each pod has a hyper client over HTTP/2.
type Call = http::Request<Full<Bytes>>;
type Answer = Result<http::Response<InFlightBody<hyper::body::Incoming>>, discovery_tower::Error>;

/// Sends a POST through a `Balance` with that policy.
async fn post<P>(upstream: &Upstream, policy: P) -> Answer
where
    P: RetryPolicy<
            Call,
            http::Response<hyper::body::Incoming>,
            legacy::Error,
            Response = http::Response<InFlightBody<hyper::body::Incoming>>,
        >,
{
    let balance = Balance::new(upstream.clone(), |endpoint: &Endpoint| {
        let client: legacy::Client<HttpConnector, Full<Bytes>> =
            legacy::Client::builder(TokioExecutor::new()).http2_only(true).build_http();
        let pod = endpoint.addr();
        tower::service_fn(move |mut request: Call| {
            *request.uri_mut() = format!("http://{pod}/").parse().unwrap();
            client.request(request)
        })
    });
    let request = http::Request::post("/").body(Full::from("an order")).unwrap();
    within("an answer", balance.with_retry_policy(policy).oneshot(request)).await
}

async fn client_of(endpoints: impl IntoIterator<Item = Endpoint>) -> Client {
    let resolver = resolver_of(endpoints).await;
    Client::builder(resolver).no_proxy().configure(::reqwest::ClientBuilder::http2_prior_knowledge).build().unwrap()
}

#[tokio::test]
async fn retries_a_refused_stream_on_another_pod_whatever_the_method() {
    for refusal in [Refusal::Reset(REFUSED_STREAM), Refusal::GoAway(NO_ERROR)] {
        let (stopping, good) = (Http2Pod::start(refusal, usize::MAX).await, Http2Pod::start(refusal, 0).await);
        let client = client(&[&stopping, &good]).await;
        let mut retried = 0;
        for nth in 0..12 {
            let method = [Method::POST, Method::PATCH, Method::GET][nth % 3].clone();
            let request = client.request(method.clone(), "http://orders/v1?a=b");
            // With a body and without, because the client keeps them differently.
            let request = if method == Method::GET { request } else { request.body("an order") };
            let response = within("an answer", request.send()).await;
            let response = response.unwrap_or_else(|error| panic!("{refusal:?}, {method}: {}", error_texts(&error)));
            assert_eq!(response.status(), 200);
            retried += response.endpoints_tried() - 1;
        }
        assert_eq!((good.requests(), stopping.requests()), (12, retried), "{refusal:?}");
        assert!(retried >= 4, "{refusal:?}: {retried} of 12 in turn");
    }
}

/// nginx closes each connection after a number of requests, and Go servers can be configured to. A Service with one pod
/// has only that pod to retry on.
#[tokio::test]
async fn retries_a_refused_stream_on_the_same_pod_when_it_is_the_only_one() {
    for (refusal, connections) in [(Refusal::Reset(REFUSED_STREAM), 1), (Refusal::GoAway(NO_ERROR), 3)] {
        let pod = Http2Pod::start(refusal, 2).await;
        let client = client(&[&pod]).await;
        let response = within("an answer", client.post("http://orders/").body("an order").send()).await.unwrap();
        assert_eq!((response.endpoints_tried(), pod.requests()), (1, 3), "{refusal:?}");
        assert_eq!(pod.connections(), connections, "{refusal:?}");

        let pod = Http2Pod::start(refusal, 3).await;
        let client = self::client(&[&pod]).await;
        let error = within("an error", client.post("http://orders/").body("an order").send()).await.unwrap_err();
        assert_eq!((error.endpoints_tried(), pod.requests()), (1, 3), "{refusal:?}: {}", error_texts(&error));
        let line = error.to_string();
        assert!(line.starts_with(&format!("request to http://orders failed at endpoint {}: ", pod.addr)), "{line}");
    }
}

/// The other endpoint cannot be reached, or is not ready and is never picked.
#[tokio::test]
async fn retries_a_refused_stream_on_the_same_pod_when_the_others_cannot_serve_it() {
    let refusal = Refusal::GoAway(NO_ERROR);
    for _ in 0..4 {
        let (gone, pod) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Http2Pod::start(refusal, 1).await);
        let dead = gone.local_addr().unwrap();
        drop(gone);
        let client = client_of([Endpoint::new(dead), Endpoint::new(pod.addr)]).await;
        let response = within("an answer", client.post("http://orders/").body("an order").send()).await.unwrap();
        assert_eq!((response.status().as_u16(), pod.requests()), (200, 2));
    }
    let (pod, idle) = (Http2Pod::start(refusal, 2).await, Http2Pod::start(refusal, 0).await);
    let mut not_ready = Conditions::default();
    not_ready.ready = false;
    let client = client_of([Endpoint::new(pod.addr), Endpoint::new(idle.addr).with_conditions(not_ready)]).await;
    let response = within("an answer", client.post("http://orders/").body("an order").send()).await.unwrap();
    assert_eq!((response.status().as_u16(), pod.requests(), idle.requests()), (200, 3, 0));
}

/// A pod that redirects has answered; the next server may refuse the request as well.
#[tokio::test]
async fn retries_a_refusal_after_a_redirect_only_if_the_request_is_idempotent() {
    for (method, retried) in [(Method::GET, true), (Method::POST, false)] {
        let next = Http2Pod::start(Refusal::GoAway(NO_ERROR), 1).await;
        let location = format!("http://{}/next", next.addr);
        let redirect = move |_: http::Request<Bytes>| {
            let response = http::Response::builder().status(307).header("location", &location);
            response.body(Bytes::new()).unwrap()
        };
        let first = FakePod::with_handler("first", redirect).await.unwrap();
        let client = client_of([Endpoint::new(first.addr())]).await;
        let result = within("an answer", client.request(method.clone(), "http://orders/").send()).await;
        assert_eq!((result.is_ok(), first.requests()), (retried, 1 + usize::from(retried)), "{method}: {result:?}");
    }
}

/// A pod that closes a connection may refuse hundreds of requests at once: the first refusal of each is free.
#[tokio::test]
async fn the_budget_does_not_count_the_first_refusal_of_a_request() {
    let (stopping, good) = (
        Http2Pod::start(Refusal::Reset(REFUSED_STREAM), usize::MAX).await,
        Http2Pod::start(Refusal::Reset(0), 0).await,
    );
    let client = client(&[&stopping, &good]).await;
    let calls = (0..400).map(|_| client.post("http://orders/").body("an order").send());
    let results = within("all answers", futures_util::future::join_all(calls)).await;
    let errors: Vec<_> =
        results.iter().filter_map(|result| result.as_ref().err()).map(|error| error_texts(error)).collect();
    assert!(errors.is_empty(), "{} of 400: {}", errors.len(), errors[0]);
    assert!(stopping.requests() > 100, "{}: not more than the reserve of the budget", stopping.requests());
}

/// Any other reset may come after the pod has processed a part of the request.
#[tokio::test]
async fn retries_any_other_reset_only_if_the_request_is_idempotent() {
    for refusal in [Refusal::Reset(INTERNAL_ERROR), Refusal::GoAway(INTERNAL_ERROR)] {
        for (method, sent) in [(Method::POST, 1), (Method::PUT, 2)] {
            let (one, other) = (Http2Pod::start(refusal, usize::MAX).await, Http2Pod::start(refusal, usize::MAX).await);
            let client = client(&[&one, &other]).await;
            let request = client.request(method.clone(), "http://orders/").body("an order");
            let error = within("an error", request.send()).await.unwrap_err();
            assert_eq!(one.requests() + other.requests(), sent, "{refusal:?}, {method}: {}", error_texts(&error));
        }
    }
}

#[tokio::test]
async fn a_refused_streaming_body_is_not_retried() {
    let (one, other) = (
        Http2Pod::start(Refusal::Reset(REFUSED_STREAM), usize::MAX).await,
        Http2Pod::start(Refusal::Reset(REFUSED_STREAM), usize::MAX).await,
    );
    let client = client(&[&one, &other]).await;
    let error = within("an error", client.post("http://orders/").body(streamed()).send()).await.unwrap_err();
    assert!(error.to_string().ends_with("(not retried: the body is a stream and cannot be sent twice)"), "{error}");
    assert_eq!(one.requests() + other.requests(), 1);
}

#[tokio::test]
async fn balance_retries_a_refused_stream_on_another_pod() {
    for refusal in [Refusal::Reset(REFUSED_STREAM), Refusal::GoAway(NO_ERROR)] {
        let (stopping, good) = (Http2Pod::start(refusal, usize::MAX).await, Http2Pod::start(refusal, 0).await);
        let resolver = resolver_of([&stopping, &good].map(|pod| Endpoint::new(pod.addr))).await;
        let upstream = resolver.resolve("http://orders").await.unwrap();
        for _ in 0..12 {
            let response =
                post(&upstream, HttpRetry::new()).await.unwrap_or_else(|error| panic!("{refusal:?}: {error}"));
            assert_eq!(response.status(), 200);
        }
        assert_eq!(good.requests(), 12, "{refusal:?}");
        assert!(stopping.requests() >= 4, "{refusal:?}: {} of 12 in turn", stopping.requests());
    }
}

#[tokio::test]
async fn balance_retries_a_refused_stream_on_the_only_pod() {
    for refusal in [Refusal::Reset(REFUSED_STREAM), Refusal::GoAway(NO_ERROR)] {
        for (refusals, succeeds) in [(2, true), (3, false)] {
            let pod = Http2Pod::start(refusal, refusals).await;
            let resolver = resolver_of([Endpoint::new(pod.addr)]).await;
            let upstream = resolver.resolve("http://orders").await.unwrap();
            let answer = post(&upstream, HttpRetry::new()).await;
            assert_eq!((answer.is_ok(), pod.requests()), (succeeds, 3), "{refusal:?}: {answer:?}");
            if let Err(error) = answer {
                assert_eq!(error.endpoints_tried(), 1);
                let line = error.to_string();
                assert!(
                    line.starts_with(&format!("request to http://orders failed at endpoint {}: ", pod.addr)),
                    "{line}"
                );
            }
        }
    }
}

#[tokio::test]
async fn balance_without_retries_returns_the_refusal() {
    let (one, other) = (
        Http2Pod::start(Refusal::Reset(REFUSED_STREAM), usize::MAX).await,
        Http2Pod::start(Refusal::Reset(REFUSED_STREAM), usize::MAX).await,
    );
    let resolver = resolver_of([&one, &other].map(|pod| Endpoint::new(pod.addr))).await;
    let upstream = resolver.resolve("http://orders").await.unwrap();
    assert!(post(&upstream, NoRetry::new()).await.is_err());
    assert_eq!(one.requests() + other.requests(), 1);
}

/// Any other reset may come after the pod has processed a part of the request.
#[tokio::test]
async fn balance_does_not_retry_a_post_after_any_other_reset() {
    for refusal in [Refusal::Reset(INTERNAL_ERROR), Refusal::GoAway(INTERNAL_ERROR)] {
        let (one, other) = (Http2Pod::start(refusal, usize::MAX).await, Http2Pod::start(refusal, usize::MAX).await);
        let resolver = resolver_of([&one, &other].map(|pod| Endpoint::new(pod.addr))).await;
        let upstream = resolver.resolve("http://orders").await.unwrap();
        assert!(post(&upstream, HttpRetry::new()).await.is_err());
        assert_eq!(one.requests() + other.requests(), 1, "{refusal:?}");
    }
}
