//! A request counts until the connection that it upgraded has ended.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use bytes::Bytes;
use discovery_core::{Environment, Resolver, Upstream, endpoint::Endpoint};
use discovery_reqwest::{Client, ResponseExt};
use discovery_testing::{ManualHandle, ManualSource};
use discovery_tower::Balance;
use http::{Method, Request, Response};
use http_body_util::Empty;
use hyper::{body::Incoming, client::conn, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tests::within;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::ServiceExt;

/// A pod that switches every request to a protocol of its own: it sends back what it gets, and closes after `bye`.
async fn echo_pod(http2: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let io = TokioIo::new(stream);
            if http2 {
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(
                    builder.serve_connection(io, service_fn(async |request| Ok::<_, hyper::Error>(switch(request)))),
                );
            } else {
                let builder = hyper::server::conn::http1::Builder::new();
                let service = service_fn(async |request| Ok::<_, hyper::Error>(switch(request)));
                tokio::spawn(builder.serve_connection(io, service).with_upgrades());
            }
        }
    });
    addr
}

fn switch(request: Request<Incoming>) -> Response<Empty<Bytes>> {
    let status = if request.method() == Method::CONNECT { 200 } else { 101 };
    tokio::spawn(async move {
        let Ok(upgraded) = hyper::upgrade::on(request).await else { return };
        let (mut io, mut bytes) = (TokioIo::new(upgraded), [0; 64]);
        while let Ok(read @ 1..) = io.read(&mut bytes).await {
            if &bytes[..read] == b"bye" || io.write_all(&bytes[..read]).await.is_err() {
                break;
            }
        }
        let _ = io.shutdown().await;
    });
    let head = Response::builder().status(status);
    let head = if status == 101 { head.header("connection", "upgrade").header("upgrade", "echo") } else { head };
    head.body(Empty::new()).unwrap()
}

async fn orders(pod: SocketAddr) -> (Resolver, Upstream, ManualHandle) {
    let (source, handle) = ManualSource::new();
    handle.set_endpoints([Endpoint::new(pod)]);
    let resolver = Resolver::builder().environment(Environment::empty()).source(Arc::new(source)).build().unwrap();
    let upstream = resolver.resolve("http://orders").await.unwrap();
    (resolver, upstream, handle)
}

/// The requests in flight, and the penalty.
fn load(upstream: &Upstream) -> (u32, u32) {
    let pick = upstream.pick().unwrap();
    let load = pick.loaded_endpoint().load();
    (load.in_flight() - 1, load.penalty(Instant::now()))
}

/// Sends `text` and reads it again; `bye` closes the connection.
async fn echo(io: &mut (impl AsyncRead + AsyncWrite + Unpin), text: &str) -> String {
    io.write_all(text.as_bytes()).await.unwrap();
    io.flush().await.unwrap();
    let mut bytes = [0; 64];
    let read = within("an echo", io.read(&mut bytes)).await.unwrap();
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}

async fn upgraded(client: &Client) -> reqwest::Response {
    let request = client.get("http://orders/").header("connection", "upgrade").header("upgrade", "echo");
    let response = within("an answer", request.send()).await.unwrap();
    assert_eq!(response.status(), 101);
    response
}

#[tokio::test]
async fn an_upgraded_connection_of_client_counts_until_it_is_dropped() {
    let (resolver, orders, _handle) = orders(echo_pod(false).await).await;
    let client = Client::builder(resolver).no_proxy().build().unwrap();
    let response = upgraded(&client).await;
    assert_eq!(load(&orders), (1, 0), "the connection is not taken over yet");
    let mut io = within("the connection", response.upgrade_in_flight()).await.unwrap();
    assert_eq!(echo(&mut io, "hello").await, "hello");
    let other = upgraded(&client).await;
    assert_eq!(load(&orders), (2, 0));
    drop(io);
    assert_eq!(load(&orders), (1, 0));
    drop(other);
    assert_eq!(load(&orders), (0, 0), "a response that is dropped ends its request");
}

#[tokio::test]
async fn an_upgraded_connection_counts_until_the_pod_closes_it() {
    let (resolver, orders, _handle) = orders(echo_pod(false).await).await;
    let client = Client::builder(resolver).no_proxy().build().unwrap();
    let mut io = upgraded(&client).await.upgrade_in_flight().await.unwrap();
    assert_eq!(echo(&mut io, "bye").await, "");
    assert_eq!(load(&orders), (0, 0));
}

/// reqwest's own type cannot hold the request.
#[tokio::test]
async fn with_the_upgrade_of_reqwest_a_request_ends_with_the_call() {
    let (resolver, orders, _handle) = orders(echo_pod(false).await).await;
    let client = Client::builder(resolver).no_proxy().build().unwrap();
    let mut io = upgraded(&client).await.upgrade().await.unwrap();
    assert_eq!(echo(&mut io, "hello").await, "hello");
    assert_eq!(load(&orders), (0, 0));
}

#[tokio::test]
async fn a_response_without_an_upgrade_is_an_error() {
    let pod = discovery_testing::FakePod::start("plain").await.unwrap();
    let (resolver, orders, _handle) = orders(pod.addr()).await;
    let client = Client::builder(resolver).no_proxy().build().unwrap();
    let response = within("an answer", client.get("http://orders/").send()).await.unwrap();
    assert!(within("an error", response.upgrade_in_flight()).await.unwrap_err().is_upgrade());
    assert_eq!(load(&orders), (0, 0));
}

/// HTTP/1.1 with `Upgrade`, and CONNECT over HTTP/2.
#[tokio::test]
async fn an_upgraded_connection_of_balance_counts_until_it_has_ended() {
    for http2 in [false, true] {
        let (_resolver, orders, _handle) = orders(echo_pod(http2).await).await;
        let balance = Balance::new(orders.clone(), move |endpoint: &Endpoint| {
            let pod = endpoint.addr();
            tower::service_fn(move |request| call(http2, pod, request))
        });
        for ends_by in ["drop", "bye"] {
            let request = match http2 {
                true => Request::connect("orders:80"),
                false => {
                    Request::get("/").header("host", "orders").header("connection", "upgrade").header("upgrade", "echo")
                }
            };
            let request = request.body(Empty::new()).unwrap();
            let response = within("an answer", balance.clone().oneshot(request)).await.unwrap();
            assert_eq!(load(&orders), (1, 0), "HTTP/2: {http2}");
            let mut io = within("the connection", discovery_tower::upgrade(response)).await.unwrap();
            assert_eq!(echo(&mut io, "hello").await, "hello");
            assert_eq!(load(&orders), (1, 0), "HTTP/2: {http2}");
            if ends_by == "bye" {
                assert_eq!(echo(&mut io, "bye").await, "");
                assert_eq!(load(&orders), (0, 0), "closed by the pod, HTTP/2: {http2}");
            }
            drop(io);
            assert_eq!(load(&orders), (0, 0), "HTTP/2: {http2}");
        }
    }
}

async fn call(http2: bool, pod: SocketAddr, request: Request<Empty<Bytes>>) -> hyper::Result<Response<Incoming>> {
    let io = TokioIo::new(TcpStream::connect(pod).await.unwrap());
    if http2 {
        let (mut sender, connection) = conn::http2::handshake(TokioExecutor::new(), io).await?;
        tokio::spawn(connection);
        sender.send_request(request).await
    } else {
        let (mut sender, connection) = conn::http1::handshake(io).await?;
        tokio::spawn(connection.with_upgrades());
        sender.send_request(request).await
    }
}
