//! A request counts until the body of its response has ended, and what the body says counts too.

use std::{
    collections::{BTreeMap, VecDeque},
    future::{Ready, ready},
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use discovery_core::{Environment, Resolver, Upstream, endpoint::Endpoint};
use discovery_testing::{ManualHandle, ManualSource};
use discovery_tower::{Balance, HttpRetry};
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tower::{Service, ServiceExt};

/// The frames of a body, after which it ends, or never ends.
struct Frames {
    frames: VecDeque<Result<Frame<Bytes>, io::Error>>,
    ends: bool,
}

impl Frames {
    fn new(frames: impl IntoIterator<Item = Result<Frame<Bytes>, io::Error>>) -> Self {
        Self { frames: frames.into_iter().collect(), ends: true }
    }

    fn endless() -> Self {
        Self { ends: false, ..Self::new([data()]) }
    }
}

fn data() -> Result<Frame<Bytes>, io::Error> {
    Ok(Frame::data(Bytes::from_static(b"data")))
}

fn trailers(status: &str) -> Result<Frame<Bytes>, io::Error> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", status.parse().unwrap());
    Ok(Frame::trailers(trailers))
}

impl Body for Frames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.frames.pop_front() {
            Some(frame) => Poll::Ready(Some(frame)),
            None if self.ends => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

/// The upstream of `orders`, whose endpoints a test sets.
async fn orders(endpoints: impl IntoIterator<Item = SocketAddr>) -> (Upstream, ManualHandle) {
    let (source, handle) = ManualSource::new();
    handle.set_endpoints(endpoints.into_iter().map(Endpoint::new));
    let resolver = Resolver::builder().environment(Environment::empty()).source(Arc::new(source)).build().unwrap();
    (resolver.resolve("http://orders:80").await.unwrap(), handle)
}

fn pod(last: u8) -> SocketAddr {
    ([10, 0, 0, last], 80).into()
}

/// How many calls each pod got.
type Calls = Arc<Mutex<BTreeMap<SocketAddr, usize>>>;

/// The service of one pod: it answers with what `answer` makes for it.
#[derive(Clone)]
struct Answering<F> {
    pod: SocketAddr,
    calls: Calls,
    answer: F,
}

impl<F: Fn(SocketAddr) -> Response<Frames>> Service<Request<()>> for Answering<F> {
    type Response = Response<Frames>;
    type Error = io::Error;
    type Future = Ready<io::Result<Response<Frames>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        *self.calls.lock().unwrap().entry(self.pod).or_default() += 1;
        ready(Ok((self.answer)(self.pod)))
    }
}

fn balance<F>(upstream: &Upstream, calls: &Calls, answer: F) -> Balance<Answering<F>>
where
    F: Fn(SocketAddr) -> Response<Frames> + Clone + Send + Sync + 'static,
{
    let calls = calls.clone();
    Balance::new(upstream.clone(), move |endpoint: &Endpoint| Answering {
        pod: endpoint.addr(),
        calls: calls.clone(),
        answer: answer.clone(),
    })
}

fn in_flight(upstream: &Upstream) -> BTreeMap<SocketAddr, u32> {
    let mut tried = discovery_core::policy::Tried::new();
    let mut seen = BTreeMap::new();
    while let Ok(pick) = upstream.pick_untried(&tried) {
        tried.add(pick.endpoint().identity());
        seen.insert(pick.endpoint().addr(), pick.loaded_endpoint().load().in_flight() - 1);
    }
    seen
}

fn penalty(upstream: &Upstream) -> u32 {
    upstream.pick().unwrap().loaded_endpoint().load().penalty(Instant::now())
}

/// 40 streams are open on one pod when a second pod appears. 40 more streams have to even them out.
#[tokio::test]
async fn open_streams_count_as_load() {
    let (upstream, handle) = orders([pod(1)]).await;
    let calls = Calls::default();
    let balance = balance(&upstream, &calls, |_| Response::new(Frames::endless()));
    let mut open = Vec::new();
    for _ in 0..40 {
        open.push(balance.clone().oneshot(Request::new(())).await.unwrap());
    }
    handle.set_endpoints([pod(1), pod(2)].map(Endpoint::new));
    tests::until(&upstream, "the second pod", |set| set.len() == 2).await;
    for _ in 0..40 {
        open.push(balance.clone().oneshot(Request::new(())).await.unwrap());
    }
    let seen = in_flight(&upstream);
    assert_eq!(seen.values().sum::<u32>(), 80);
    assert!(seen.values().all(|count| (38..=42).contains(count)), "{seen:?}");
    drop(open);
    assert_eq!(in_flight(&upstream).values().sum::<u32>(), 0, "dropped bodies end their requests");
    assert_eq!(penalty(&upstream), 0, "the caller's choice is not the endpoint's failure");
}

#[tokio::test]
async fn a_request_ends_with_its_body() {
    let (upstream, _handle) = orders([pod(1)]).await;
    let balance = balance(&upstream, &Calls::default(), |_| Response::new(Frames::new([data(), data()])));
    let response = balance.clone().oneshot(Request::new(())).await.unwrap();
    assert_eq!(in_flight(&upstream)[&pod(1)], 1, "the head has arrived");
    let mut body = response.into_body();
    for _ in 0..2 {
        body.frame().await.unwrap().unwrap();
        assert_eq!(in_flight(&upstream)[&pod(1)], 1);
    }
    assert!(body.frame().await.is_none());
    assert_eq!(in_flight(&upstream)[&pod(1)], 0, "the body has ended");
    assert_eq!(penalty(&upstream), 0);
}

#[tokio::test]
async fn with_head_only_a_request_ends_with_the_head() {
    let (upstream, _handle) = orders([pod(1)]).await;
    let balance = balance(&upstream, &Calls::default(), |_| Response::new(Frames::endless()));
    let balance = balance.with_retry_policy(HttpRetry::new().head_only());
    let response: Response<Frames> = balance.oneshot(Request::new(())).await.unwrap();
    assert_eq!(in_flight(&upstream)[&pod(1)], 0);
    drop(response);
}

/// Sends 1000 calls, eight at a time, and reads every body. Returns the share of calls that pod 1 got.
async fn share_of_the_bad(answer: impl Fn() -> Response<Frames> + Clone + Send + Sync + 'static) -> f64 {
    let (upstream, _handle) = orders((1..=4).map(pod)).await;
    let calls = Calls::default();
    let balance =
        balance(
            &upstream,
            &calls,
            move |at| {
                if at == pod(1) { answer() } else { Response::new(Frames::new([data()])) }
            },
        );
    for _ in 0..125 {
        let batch = (0..8).map(|_| {
            let balance = balance.clone();
            async move {
                let response = balance.oneshot(Request::new(())).await.unwrap();
                tokio::task::yield_now().await;
                let _ = response.into_body().collect().await;
            }
        });
        futures_util::future::join_all(batch).await;
    }
    let calls = calls.lock().unwrap();
    assert_eq!(calls.values().sum::<usize>(), 1_000);
    calls.get(&pod(1)).copied().unwrap_or_default() as f64 / 1_000.0
}

/// A pod that resets every body gets no more calls than one that answers 500.
#[tokio::test]
async fn a_body_that_breaks_is_the_endpoints_failure() {
    let broken = share_of_the_bad(|| Response::new(Frames::new([data(), Err(io::ErrorKind::ConnectionReset.into())])));
    let share = broken.await;
    println!("breaks every body: {share}");
    assert!(share < 0.05, "{share}");
}

fn grpc(frames: impl IntoIterator<Item = Result<Frame<Bytes>, io::Error>>, status: Option<&str>) -> Response<Frames> {
    let builder = Response::builder().header("content-type", "application/grpc+proto");
    let builder = status.into_iter().fold(builder, |builder, status| builder.header("grpc-status", status));
    builder.body(Frames::new(frames)).unwrap()
}

/// A pod whose calls end with UNAVAILABLE, in the head ("Trailers-Only") or in the trailers, over HTTP 200.
#[tokio::test]
async fn a_grpc_status_counts_in_the_head_and_in_the_trailers() {
    for (what, share) in [
        ("head", share_of_the_bad(|| grpc([], Some("14"))).await),
        ("trailers", share_of_the_bad(|| grpc([data(), trailers("14")], None)).await),
    ] {
        println!("grpc-status 14 in the {what}: {share}");
        assert!(share < 0.05, "{what}: {share}");
    }
    // NOT_FOUND is the caller's affair, and gRPC-Web is not gRPC: its status is in the body.
    let not_found = share_of_the_bad(|| grpc([data(), trailers("5")], None)).await;
    assert!((0.15..0.35).contains(&not_found), "{not_found}");
    let web = share_of_the_bad(|| {
        let mut response = grpc([], Some("14"));
        response.headers_mut().insert("content-type", "application/grpc-web+proto".parse().unwrap());
        response
    });
    assert!((0.15..0.35).contains(&web.await));
}
