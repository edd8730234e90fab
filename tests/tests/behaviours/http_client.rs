//! `discovery-reqwest`: what applications expect of any HTTP client, where there is a client for each endpoint beneath.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use ::reqwest::StatusCode;
use async_trait::async_trait;
use bytes::Bytes;
use discovery_core::Upstream;
use discovery_reqwest::Client;
use discovery_testing::{Behavior, FakePod, ManualSource};
use http::{Extensions, Request, Response, header};
use reqwest_middleware::{Middleware, Next};
use tokio::net::{TcpSocket, TcpStream};

use super::reqwest::{World, header, send, within};

/// One store for all endpoints: whoever logs in at one pod is known at the others.
#[tokio::test]
async fn cookies_are_those_of_the_service_whichever_pod_has_set_them() {
    let world = World::new(0).await;
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
        seen.push(header(&response, "x-cookie").to_owned());
    }
    assert_eq!(seen[0], "");
    assert!(seen[1..].iter().all(|cookie| cookie == "session=1"), "{seen:?}");
    assert!(till.requests().values().filter(|requests| **requests > 0).count() > 1, "{:?}", till.requests());
}

/// The client of an endpoint follows a redirect by itself.
#[tokio::test]
async fn a_redirect_within_the_service_stays_with_the_endpoint() {
    let world = World::new(0).await;
    let pods = world.cluster.service("shop", "till").replicas(3).handler(|request| {
        let response = Response::builder();
        let response = match request.uri().path() {
            "/" => response.status(StatusCode::SEE_OTHER).header(header::LOCATION, "/next"),
            _ => response,
        };
        response.body(Bytes::new()).unwrap()
    });
    let till = pods.start().await.unwrap();
    let url = format!("http://till.shop:{}/", till.port());
    let (errors, _) = send(&world.client(), &url, 60, 1).await;
    assert!(errors.is_empty(), "{errors:?}");
    let requests = till.requests();
    assert_eq!(requests.values().sum::<usize>(), 120);
    assert!(requests.values().all(|of_pod| of_pod % 2 == 0), "both requests to one pod: {requests:?}");
}

/// Whoever redirects has answered.
#[tokio::test]
async fn what_another_service_answers_after_a_redirect_is_not_the_fault_of_the_first() {
    let world = World::new(0).await;
    let broken = world
        .cluster
        .service("shop", "broken")
        .replicas(1)
        .handler(|_| Response::builder().status(StatusCode::INTERNAL_SERVER_ERROR).body(Bytes::new()).unwrap());
    let broken = broken.start().await.unwrap();
    let location = format!("http://broken.shop:{}/", broken.port());
    let till = world.cluster.service("shop", "till").replicas(1).handler(move |_| {
        let response = Response::builder().status(StatusCode::FOUND).header(header::LOCATION, &location);
        response.body(Bytes::new()).unwrap()
    });
    let till = till.start().await.unwrap();
    let client = world.client();
    for (service, penalty) in [(&till, 0), (&broken, 1)] {
        let url = format!("http://{}:{}/", service.name(), service.port());
        let response = within("an answer", client.get(&url).send()).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let upstream = client.resolver().resolve(url.as_str()).await.unwrap();
        assert_eq!(upstream.pick().unwrap().loaded_endpoint().load().penalty(Instant::now()), penalty, "{url}");
    }
}

#[tokio::test]
async fn whoever_redirects_in_time_is_not_left_for_another_one() {
    let world = World::new(0).await;
    let slow = FakePod::start("slow").await.unwrap();
    slow.set_behavior(Behavior::Hanging);
    let location = format!("http://{}/", slow.addr());
    let till = world.cluster.service("shop", "till").replicas(2).handler(move |_| {
        let response = Response::builder().status(StatusCode::FOUND).header(header::LOCATION, &location);
        response.body(Bytes::new()).unwrap()
    });
    let till = till.start().await.unwrap();
    let client = world.builder().attempt_timeout(Duration::from_millis(100)).build().unwrap();
    let request = client.get(format!("http://till.shop:{}/", till.port())).timeout(Duration::from_millis(500));
    let error = within("an error", request.send()).await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    assert_eq!((till.requests().values().sum::<usize>(), slow.requests()), (1, 1));
}

/// Pods that are quick to refuse look idle: they get less all the same.
#[tokio::test]
async fn a_pod_that_fails_fast_or_asks_to_be_spared_gets_less() {
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
        let world = World::new(0).await;
        let client = Client::new(world.resolver().source(Arc::new(source)).build().unwrap());
        let (errors, _) = send(&client, "http://manual/", 1_000, 8).await;
        assert!(errors.is_empty(), "a status is an answer: {errors:?}");
        let received: Vec<_> = pods.iter().map(FakePod::requests).collect();
        println!("one pod of 4 answers {status}, Retry-After {retry_after:?}: {received:?}");
        assert!(received[0] < 100, "{status}: {received:?}, less than half of an even share");
    }
}

fn in_flight(upstream: &Upstream) -> u32 {
    let pick = upstream.pick().unwrap();
    pick.loaded_endpoint().load().in_flight() - 1
}

/// In whatever state a request is when its future is dropped, nothing of it stays in flight, and nothing is held against
/// the endpoint.
#[tokio::test]
async fn dropping_a_request_in_any_state_takes_it_out_of_flight() {
    let world = World::new(1).await;
    let (client, pod) = (world.client(), world.pod(0));
    let upstream = client.resolver().upstream(world.url().as_str()).unwrap();
    let clean = |state: &str| {
        assert_eq!(in_flight(&upstream), 0, "{state}");
        assert_eq!(upstream.pick().unwrap().loaded_endpoint().load().penalty(Instant::now()), 0, "{state}");
    };

    // Not polled at all, and before the first answer of the sources.
    drop(client.get(world.url()).send());
    let mut call = Box::pin(client.get(world.url()).send());
    assert!(futures_util::poll!(&mut call).is_pending());
    drop(call);
    within("an answer", upstream.first_answer()).await.unwrap();
    clean("before there was an endpoint");

    // Waiting for the head of the answer.
    pod.set_behavior(Behavior::Hanging);
    let call = tokio::spawn(client.get(world.url()).send());
    within("the request", pod.when(|seen| seen.in_flight == 1)).await;
    assert_eq!(in_flight(&upstream), 1);
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    clean("before the answer");
    pod.set_behavior(Behavior::Healthy);

    // The answer has begun: it counts no more, whether its body is read or not.
    let response = within("an answer", client.get(world.url()).send()).await.unwrap();
    clean("with the body unread");
    drop(response);
    clean("with the response dropped");
}

/// A connection that does not come about: the listener's queue is full, and the kernel drops what comes.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn dropping_a_request_while_it_connects_takes_it_out_of_flight() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(addr)).await {
        queue.push(stream);
        assert!(queue.len() < 100, "the queue is never full");
    }
    let (source, handle) = ManualSource::new();
    handle.set([addr.to_string().as_str()]);
    let world = World::new(0).await;
    let client = Client::new(world.resolver().source(Arc::new(source)).build().unwrap());
    let upstream = client.resolver().upstream("http://manual/").unwrap();
    within("an answer", upstream.first_answer()).await.unwrap();
    let call = tokio::spawn(client.get("http://manual/").send());
    within("the request", async {
        while in_flight(&upstream) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(in_flight(&upstream), 0);
}

struct Count(Arc<AtomicUsize>);

#[async_trait]
impl Middleware for Count {
    async fn handle(
        &self,
        request: ::reqwest::Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<::reqwest::Response> {
        self.0.fetch_add(1, Ordering::Relaxed);
        next.run(request, extensions).await
    }
}

#[tokio::test]
async fn the_client_is_the_last_link_of_a_chain_of_middleware() {
    let world = World::new(3).await;
    let count = Arc::new(AtomicUsize::new(0));
    let client = reqwest_middleware::ClientBuilder::new(::reqwest::Client::new());
    let client = client.with(Count(count.clone())).with(world.client()).build();
    for _ in 0..60 {
        assert_eq!(within("an answer", client.get(world.url()).send()).await.unwrap().status(), 200);
    }
    assert_eq!(count.load(Ordering::Relaxed), 60);
    assert!(world.received().iter().all(|requests| *requests > 0), "{:?}", world.received());

    // reqwest's errors stay what they are, so that a middleware that sends again knows them.
    world.service.pods().iter().for_each(|pod| pod.set_behavior(Behavior::Hanging));
    let late = client.get(world.url()).timeout(Duration::from_millis(50)).send().await.unwrap_err();
    assert!(late.is_timeout(), "{late:?}");
    let nobody = client.get("http://-nobody/").send().await.unwrap_err();
    let reqwest_middleware::Error::Middleware(nobody) = nobody else { panic!("{nobody:?}") };
    let nobody: discovery_reqwest::Error = nobody.downcast().unwrap();
    assert!(nobody.as_discovery().is_some_and(discovery_core::Error::is_invalid_name), "{nobody:?}");
}
