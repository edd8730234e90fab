//! A request that is dropped is not in flight any more.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use discovery_core::Upstream;
use discovery_reqwest::Client;
use discovery_testing::{Behavior, ManualSource};
use http::Method;
use tokio::net::{TcpSocket, TcpStream};
use tower::ServiceExt;

use crate::support::{
    balance::{BalanceWorld, request},
    client::{ClientWorld, within},
};

fn in_flight(upstream: &Upstream) -> u32 {
    let pick = upstream.pick().unwrap();
    pick.loaded_endpoint().load().in_flight() - 1
}

/// In whatever state a request is dropped, it leaves nothing in flight, and the endpoint gets no penalty.
#[tokio::test]
async fn dropping_a_request_in_any_state_takes_it_out_of_flight() {
    let world = ClientWorld::new(1).await;
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

    // The request counts until the body of the answer has been read or dropped.
    let response = within("an answer", client.get(world.url()).send()).await.unwrap();
    assert_eq!(in_flight(&upstream), 1, "with the body unread");
    drop(response);
    clean("with the response dropped");
    let response = within("an answer", client.get(world.url()).send()).await.unwrap();
    within("the body", response.bytes()).await.unwrap();
    clean("with the body read");
}

/// The connection stays pending: the listener's queue is full, and the kernel drops new connections.
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
    let world = ClientWorld::new(0).await;
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

#[tokio::test]
async fn dropping_a_call_takes_it_out_of_flight() {
    let world = BalanceWorld::new(1).await;
    let pod = world.pod(0);
    pod.set_behavior(Behavior::Hanging);
    let in_flight = || world.upstream.pick().unwrap().loaded_endpoint().load().in_flight() - 1;
    assert_eq!(in_flight(), 0);
    let call = tokio::spawn(world.balance().oneshot(request(Method::GET, 0)));
    within("the request", pod.when(|seen| seen.in_flight == 1)).await;
    assert_eq!(in_flight(), 1);
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(in_flight(), 0);
    let now = Instant::now();
    assert_eq!(
        world.upstream.pick().unwrap().loaded_endpoint().load().penalty(now),
        0,
        "a dropped call teaches nothing"
    );
}
