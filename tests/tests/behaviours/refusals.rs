//! What an HTTP/2 endpoint refuses before it has begun: frames as RFC 9113 has them, written by hand.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use ::reqwest::Method;
use bytes::Bytes;
use discovery_core::{Resolver, Upstream, endpoint::Endpoint, policy::RoundRobin};
use discovery_reqwest::{Client, ResponseExt};
use discovery_testing::{FakeDns, FakePod, ManualSource};
use discovery_tower::{Balance, HttpRetry, NoRetry, RetryPolicy};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use tests::in_pod;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::ServiceExt;

use super::reqwest::{streamed, texts, within};

const PREFACE: usize = 24;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
/// Of SETTINGS.
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;

/// What a pod says instead of an answer.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    Reset(u32),
    GoAway(u32),
}

/// A pod that refuses its first requests, and takes those that come then.
struct Pod {
    addr: SocketAddr,
    connections: Arc<AtomicUsize>,
    seen: Arc<AtomicUsize>,
}

impl Pod {
    async fn start(refusal: Refusal, times: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (connections, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let pod = Self { addr, connections: connections.clone(), seen: seen.clone() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Relaxed);
                tokio::spawn(serve(stream, refusal, times, seen.clone()));
            }
        });
        pod
    }

    fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }

    fn seen(&self) -> usize {
        self.seen.load(Relaxed)
    }
}

/// Ends when the client closes.
async fn serve(mut client: TcpStream, refusal: Refusal, times: usize, seen: Arc<AtomicUsize>) -> std::io::Result<()> {
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
        if kind == HEADERS && seen.fetch_add(1, Relaxed) < times {
            refused = stream;
            let refusal = match refusal {
                Refusal::Reset(code) => frame(RST_STREAM, 0, stream, &code.to_be_bytes()),
                // The last stream that was begun is the one before.
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

/// A client of Service `orders`, which these pods are.
async fn client(pods: &[&Pod]) -> Client {
    client_of(pods.iter().map(|pod| Endpoint::new(pod.addr))).await
}

async fn resolver_of(endpoints: impl IntoIterator<Item = Endpoint>) -> Resolver {
    let dns = FakeDns::start().await.unwrap();
    let (source, handle) = ManualSource::new();
    handle.set_endpoints(endpoints);
    in_pod(&dns, "shop").policy(RoundRobin::new()).source(Arc::new(source)).build().unwrap()
}

/// What `Balance` sends, and the outcome: hyper over HTTP/2, one client for each pod.
type Call = http::Request<Full<Bytes>>;
type Answer = Result<http::Response<hyper::body::Incoming>, discovery_tower::Error>;

/// Sends a POST through a `Balance` with that policy.
async fn post<P>(upstream: &Upstream, policy: P) -> Answer
where
    P: RetryPolicy<Call, http::Response<hyper::body::Incoming>, legacy::Error>,
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
async fn what_a_pod_refuses_goes_to_another_one_whatever_the_method() {
    for refusal in [Refusal::Reset(REFUSED_STREAM), Refusal::GoAway(NO_ERROR)] {
        let (stopping, good) = (Pod::start(refusal, usize::MAX).await, Pod::start(refusal, 0).await);
        let client = client(&[&stopping, &good]).await;
        let mut again = 0;
        for nth in 0..12 {
            let method = [Method::POST, Method::PATCH, Method::GET][nth % 3].clone();
            let request = client.request(method.clone(), "http://orders/v1?a=b");
            // With a body and without: what is kept of them is not the same.
            let request = if method == Method::GET { request } else { request.body("an order") };
            let response = within("an answer", request.send()).await;
            let response = response.unwrap_or_else(|error| panic!("{refusal:?}, {method}: {}", texts(&error)));
            assert_eq!(response.status(), 200);
            again += response.endpoints_tried() - 1;
        }
        assert_eq!((good.seen(), stopping.seen()), (12, again), "{refusal:?}");
        assert!(again >= 4, "{refusal:?}: {again} of 12 in turn");
    }
}

/// nginx ends each connection after so many requests, and Go servers can be told to: with one pod there is nobody else.
#[tokio::test]
async fn where_there_is_no_other_pod_it_goes_to_the_same_one() {
    for (refusal, connections) in [(Refusal::Reset(REFUSED_STREAM), 1), (Refusal::GoAway(NO_ERROR), 3)] {
        let pod = Pod::start(refusal, 2).await;
        let client = client(&[&pod]).await;
        let response = within("an answer", client.post("http://orders/").body("an order").send()).await.unwrap();
        assert_eq!((response.endpoints_tried(), pod.seen()), (1, 3), "{refusal:?}");
        assert_eq!(pod.connections(), connections, "{refusal:?}");

        let pod = Pod::start(refusal, 3).await;
        let client = self::client(&[&pod]).await;
        let error = within("an error", client.post("http://orders/").body("an order").send()).await.unwrap_err();
        assert_eq!((error.endpoints_tried(), pod.seen()), (1, 3), "{refusal:?}: {}", texts(&error));
        let line = error.to_string();
        assert!(line.starts_with(&format!("request to http://orders failed at endpoint {}: ", pod.addr)), "{line}");
    }
}

/// Not to the one that cannot be reached, nor to one that is never picked.
#[tokio::test]
async fn it_goes_to_the_same_one_where_the_others_are_of_no_use() {
    let refusal = Refusal::GoAway(NO_ERROR);
    for _ in 0..4 {
        let (gone, pod) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Pod::start(refusal, 1).await);
        let dead = gone.local_addr().unwrap();
        drop(gone);
        let client = client_of([Endpoint::new(dead), Endpoint::new(pod.addr)]).await;
        let response = within("an answer", client.post("http://orders/").body("an order").send()).await.unwrap();
        assert_eq!((response.status().as_u16(), pod.seen()), (200, 2));
    }
    let (pod, idle) = (Pod::start(refusal, 2).await, Pod::start(refusal, 0).await);
    let client = client_of([Endpoint::new(pod.addr), Endpoint::new(idle.addr).with_weight(0)]).await;
    let response = within("an answer", client.post("http://orders/").body("an order").send()).await.unwrap();
    assert_eq!((response.status().as_u16(), pod.seen(), idle.seen()), (200, 3, 0));
}

/// Whoever redirects has answered; where the request goes then, it may be refused as well.
#[tokio::test]
async fn what_is_refused_after_a_redirect_is_sent_again_if_that_does_no_harm() {
    for (method, again) in [(Method::GET, true), (Method::POST, false)] {
        let next = Pod::start(Refusal::GoAway(NO_ERROR), 1).await;
        let location = format!("http://{}/next", next.addr);
        let redirect = move |_: http::Request<Bytes>| {
            let response = http::Response::builder().status(307).header("location", &location);
            response.body(Bytes::new()).unwrap()
        };
        let first = FakePod::with_handler("first", redirect).await.unwrap();
        let client = client_of([Endpoint::new(first.addr())]).await;
        let result = within("an answer", client.request(method.clone(), "http://orders/").send()).await;
        assert_eq!((result.is_ok(), first.requests()), (again, 1 + usize::from(again)), "{method}: {result:?}");
    }
}

/// A hundred at once when a pod ends a connection, and twice as many: the first refusal of each costs nothing.
#[tokio::test]
async fn the_budget_does_not_count_the_first_refusal_of_a_request() {
    let (stopping, good) =
        (Pod::start(Refusal::Reset(REFUSED_STREAM), usize::MAX).await, Pod::start(Refusal::Reset(0), 0).await);
    let client = client(&[&stopping, &good]).await;
    let calls = (0..400).map(|_| client.post("http://orders/").body("an order").send());
    let results = within("all answers", futures_util::future::join_all(calls)).await;
    let errors: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).map(texts).collect();
    assert!(errors.is_empty(), "{} of 400: {}", errors.len(), errors[0]);
    assert!(stopping.seen() > 100, "{}: no more than the budget's reserve", stopping.seen());
}

/// Any other reset may come after the pod has begun.
#[tokio::test]
async fn what_a_pod_breaks_off_is_not_sent_again_unless_that_does_no_harm() {
    for refusal in [Refusal::Reset(INTERNAL_ERROR), Refusal::GoAway(INTERNAL_ERROR)] {
        for (method, sent) in [(Method::POST, 1), (Method::PUT, 2)] {
            let (one, other) = (Pod::start(refusal, usize::MAX).await, Pod::start(refusal, usize::MAX).await);
            let client = client(&[&one, &other]).await;
            let request = client.request(method.clone(), "http://orders/").body("an order");
            let error = within("an error", request.send()).await.unwrap_err();
            assert_eq!(one.seen() + other.seen(), sent, "{refusal:?}, {method}: {}", texts(&error));
        }
    }
}

#[tokio::test]
async fn a_stream_that_was_refused_cannot_be_sent_again() {
    let (one, other) = (
        Pod::start(Refusal::Reset(REFUSED_STREAM), usize::MAX).await,
        Pod::start(Refusal::Reset(REFUSED_STREAM), usize::MAX).await,
    );
    let client = client(&[&one, &other]).await;
    let error = within("an error", client.post("http://orders/").body(streamed()).send()).await.unwrap_err();
    assert!(error.to_string().ends_with("(not retried: the body is a stream and cannot be sent twice)"), "{error}");
    assert_eq!(one.seen() + other.seen(), 1);
}

#[tokio::test]
async fn balance_sends_what_a_pod_refused_to_another_one() {
    for refusal in [Refusal::Reset(REFUSED_STREAM), Refusal::GoAway(NO_ERROR)] {
        let (stopping, good) = (Pod::start(refusal, usize::MAX).await, Pod::start(refusal, 0).await);
        let resolver = resolver_of([&stopping, &good].map(|pod| Endpoint::new(pod.addr))).await;
        let upstream = resolver.resolve("http://orders").await.unwrap();
        for _ in 0..12 {
            let response =
                post(&upstream, HttpRetry::new()).await.unwrap_or_else(|error| panic!("{refusal:?}: {error}"));
            assert_eq!(response.status(), 200);
        }
        assert_eq!(good.seen(), 12, "{refusal:?}");
        assert!(stopping.seen() >= 4, "{refusal:?}: {} of 12 in turn", stopping.seen());
    }
}

#[tokio::test]
async fn balance_sends_what_the_only_pod_refused_to_it_again() {
    for refusal in [Refusal::Reset(REFUSED_STREAM), Refusal::GoAway(NO_ERROR)] {
        for (refusals, succeeds) in [(2, true), (3, false)] {
            let pod = Pod::start(refusal, refusals).await;
            let resolver = resolver_of([Endpoint::new(pod.addr)]).await;
            let upstream = resolver.resolve("http://orders").await.unwrap();
            let answer = post(&upstream, HttpRetry::new()).await;
            assert_eq!((answer.is_ok(), pod.seen()), (succeeds, 3), "{refusal:?}: {answer:?}");
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
        Pod::start(Refusal::Reset(REFUSED_STREAM), usize::MAX).await,
        Pod::start(Refusal::Reset(REFUSED_STREAM), usize::MAX).await,
    );
    let resolver = resolver_of([&one, &other].map(|pod| Endpoint::new(pod.addr))).await;
    let upstream = resolver.resolve("http://orders").await.unwrap();
    assert!(post(&upstream, NoRetry::new()).await.is_err());
    assert_eq!(one.seen() + other.seen(), 1);
}

/// Any other reset may come after the pod has begun.
#[tokio::test]
async fn balance_does_not_repeat_a_post_that_a_pod_broke_off() {
    for refusal in [Refusal::Reset(INTERNAL_ERROR), Refusal::GoAway(INTERNAL_ERROR)] {
        let (one, other) = (Pod::start(refusal, usize::MAX).await, Pod::start(refusal, usize::MAX).await);
        let resolver = resolver_of([&one, &other].map(|pod| Endpoint::new(pod.addr))).await;
        let upstream = resolver.resolve("http://orders").await.unwrap();
        assert!(post(&upstream, HttpRetry::new()).await.is_err());
        assert_eq!(one.seen() + other.seen(), 1, "{refusal:?}");
    }
}
