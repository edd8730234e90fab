//! Connections to a node that has lost its power: no byte arrives any more, and no connection closes.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use discovery_core::{Environment, Resolver, Upstream, endpoint::Endpoint};
use discovery_reqwest::{Client, ClientBuilder, ResponseExt};
use discovery_testing::{FakePod, ManualHandle, ManualSource};
use discovery_tower::Balance;
use futures_util::{FutureExt, future::join_all};
use http::Method;
use http_body_util::Empty;
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};
use tests::BlackHole;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::{ServiceExt, service_fn};

use crate::support::client::{over_http, within};

/// One pod on a node that will die, one pod elsewhere, and the set of endpoints, which has the first pod alone.
struct World {
    dying: FakePod,
    hole: BlackHole,
    other: FakePod,
    endpoints: ManualHandle,
    resolver: Resolver,
}

impl World {
    async fn new() -> Self {
        let (dying, other) = (FakePod::start("dying").await.unwrap(), FakePod::start("other").await.unwrap());
        let hole = BlackHole::start(dying.addr()).await.unwrap();
        let (source, endpoints) = ManualSource::new();
        endpoints.set_endpoints([Endpoint::new(hole.addr())]);
        let resolver = Resolver::builder().environment(Environment::empty()).source(Arc::new(source)).build().unwrap();
        Self { dying, hole, other, endpoints, resolver }
    }

    fn builder(&self) -> ClientBuilder {
        Client::builder(self.resolver.clone()).no_proxy()
    }

    fn upstream(&self) -> Upstream {
        self.resolver.upstream("http://orders").unwrap()
    }

    /// The other pod takes the place of the dead one.
    fn replace(&self) {
        self.endpoints.set_endpoints([Endpoint::new(self.other.addr())]);
    }

    /// Both pods are in the set.
    fn add(&self) {
        self.endpoints.set_endpoints([self.hole.addr(), self.other.addr()].map(Endpoint::new));
    }
}

/// Establishes the connection to the first pod, then lets its node die.
async fn connected(client: &Client, world: &World) {
    assert_eq!(within("an answer", client.get("http://orders/").send()).await.unwrap().status(), 200);
    world.hole.swallow();
}

fn in_flight(upstream: &Upstream) -> u32 {
    upstream.pick().unwrap().loaded_endpoint().load().in_flight() - 1
}

#[tokio::test]
async fn idempotent_requests_leave_a_silent_endpoint_that_was_removed() {
    for http2 in [false, true] {
        let world = World::new().await;
        let client = world.builder().configure(over_http(http2)).build().unwrap();
        connected(&client, &world).await;
        let requests = [Method::GET, Method::PUT, Method::DELETE, Method::GET, Method::HEAD, Method::GET]
            .map(|method| client.request(method, "http://orders/path?query=1").header("x-note", "kept").send());
        let posts = [Method::POST, Method::PATCH].map(|method| client.request(method, "http://orders/").send().boxed());
        let mut posts = Box::pin(futures_util::future::select_all(posts));
        let orders = world.upstream();
        let all = async {
            let answers = join_all(requests);
            tokio::pin!(answers);
            tokio::select! {
                _ = &mut answers => panic!("the node is dead"),
                _ = &mut posts => panic!("the node is dead"),
                () = tests::eventually(&orders, "8 requests in flight", |orders| in_flight(orders) == 8) => {}
            }
            world.replace();
            answers.await
        };
        for answer in within("the answers", all).await {
            let answer = answer.unwrap();
            assert_eq!((answer.headers()["x-pod"].to_str().unwrap(), answer.endpoints_tried()), ("other", 2));
            assert_eq!(answer.url().as_str(), "http://orders/path?query=1");
        }
        assert_eq!(world.other.requests(), 6);
        // The pod may have seen them, and doing them twice may do harm.
        assert!(posts.now_or_never().is_none());
    }
}

/// Without a removal, pings show that the connection is dead.
#[tokio::test]
async fn pings_find_a_dead_http2_connection() {
    let world = World::new().await;
    let client = world.builder().configure(|builder| {
        let interval = Duration::from_millis(100);
        builder.http2_prior_knowledge().http2_keep_alive_interval(interval).http2_keep_alive_timeout(interval * 10)
    });
    let client = client.build().unwrap();
    connected(&client, &world).await;
    let orders = world.upstream();
    let mut requests = Box::pin(join_all((0..4).map(|_| client.get("http://orders/").send())));
    tokio::select! {
        _ = &mut requests => panic!("the node is dead"),
        () = tests::eventually(&orders, "4 requests in flight", |orders| in_flight(orders) == 4) => {}
    }
    world.add();
    for answer in within("the answers", requests).await {
        let answer = answer.unwrap();
        assert_eq!((answer.headers()["x-pod"].to_str().unwrap(), answer.endpoints_tried()), ("other", 2));
    }
    assert_eq!(world.dying.requests(), 1);
}

/// `Balance` retries what the pings of the caller's own client end.
#[tokio::test]
async fn balance_retries_what_pings_have_ended() {
    let world = World::new().await;
    let interval = Duration::from_millis(100);
    let balance = Balance::new(world.upstream(), move |endpoint: &Endpoint| {
        let mut client = legacy::Client::builder(TokioExecutor::new());
        client.timer(TokioTimer::new()).http2_only(true);
        client.http2_keep_alive_interval(interval).http2_keep_alive_timeout(interval * 10);
        let (client, pod) = (client.build_http::<Empty<Bytes>>(), endpoint.addr());
        service_fn(move |mut request: http::Request<Empty<Bytes>>| {
            *request.uri_mut() = format!("http://{pod}/").parse().unwrap();
            client.request(request)
        })
    });
    let call = || balance.clone().oneshot(http::Request::get("/").body(Empty::new()).unwrap());
    within("an answer", world.upstream().ready()).await.unwrap();
    assert_eq!(within("an answer", call()).await.unwrap().status(), 200);
    world.hole.swallow();
    let mut calls = Box::pin(join_all((0..4).map(|_| call())));
    let orders = world.upstream();
    tokio::select! {
        _ = &mut calls => panic!("the node is dead"),
        () = tests::eventually(&orders, "4 calls in flight", |orders| in_flight(orders) >= 4) => {}
    }
    world.add();
    for answer in within("the answers", calls).await {
        assert_eq!(answer.unwrap().headers()["x-pod"], "other");
    }
}

/// A server that answers nothing, not even pings. The clock of tokio stands for the real one.
#[tokio::test]
async fn pings_are_on_by_default() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (source, endpoints) = ManualSource::new();
    endpoints.set_endpoints([Endpoint::new(listener.local_addr().unwrap())]);
    let resolver = Resolver::builder().environment(Environment::empty()).source(Arc::new(source)).build().unwrap();
    let client = Client::builder(resolver).no_proxy().configure(over_http(true)).build().unwrap();
    let (begun, connected) = tokio::sync::oneshot::channel();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // An empty SETTINGS frame (RFC 9113, section 6.5).
        stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        let mut seen = [0; 24];
        stream.read_exact(&mut seen).await.unwrap();
        begun.send(()).unwrap();
        // Until the client gives the connection up.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        tokio::time::Instant::now()
    });
    let request = tokio::spawn(client.get("http://orders/").send());
    within("a connection", connected).await.unwrap();
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    let error = within("the end of the request", request).await.unwrap().unwrap_err();
    let silent = begun.elapsed();
    assert!(error.to_string().contains("connection lost"), "{error}");
    assert!(silent >= Duration::from_secs(19), "{silent:?}");
    drop(client);
    within("the end of the connection", server).await.unwrap();
}
