//! A reverse proxy on axum that forwards by path to Services: `cargo run --release -p examples --bin gateway`.
//!
//! Bodies are streamed, and connections such as WebSockets are passed through. While clients send requests, the
//! pods of the Services are replaced one after the other.

mod echo;

use std::{error::Error, net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::any,
};
use discovery_testing::{FakeCluster, FakeService};
use discovery_tower::{Environment, HttpClient, Resolver, upgrade};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use tokio::{io::copy_bidirectional, net::TcpListener, task::JoinHandle};

type BoxError = Box<dyn Error + Send + Sync>;

const REQUESTS: usize = 10_000;
const CLIENTS: usize = 8;

/// Sends a request on. `Host` names the Service; the name that the client used is in `x-forwarded-host`.
async fn forward(State(service): State<HttpClient>, mut request: Request) -> Response {
    if let Some(host) = request.headers().get(header::HOST).cloned() {
        request.headers_mut().insert("x-forwarded-host", host);
    }
    let upgraded = request.headers().contains_key(header::UPGRADE).then(|| hyper::upgrade::on(&mut request));
    let response = match service.request(request).await {
        Ok(response) => response,
        Err(error) => return (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    };
    let (Some(client), StatusCode::SWITCHING_PROTOCOLS) = (upgraded, response.status()) else {
        return response.map(Body::new);
    };
    let (parts, body) = response.into_parts();
    let head = Response::from_parts(parts.clone(), Body::empty());
    tokio::spawn(async move {
        if let (Ok(client), Ok(mut pod)) = (client.await, upgrade(Response::from_parts(parts, body)).await) {
            // Its end is the end of the connection, in whichever way.
            let _ = copy_bidirectional(&mut TokioIo::new(client), &mut pod).await;
        }
    });
    head
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let cluster = FakeCluster::start().await?;
    let orders = cluster.service("shop", "orders").replicas(4).start().await?;
    let rates = cluster.service("shop", "rates").replicas(2).start().await?;
    let environment = Environment::empty().with_env(cluster.env("shop")).with_resolv_conf(cluster.resolv_conf("shop"));
    // In a pod, `Resolver::new()?` is enough.
    let resolver = Resolver::builder().environment(environment).build()?;

    let route =
        |target: String| HttpClient::new(&resolver, target.as_str()).map(|service| any(forward).with_state(service));
    let gateway = Router::new()
        .route("/orders/{*path}", route(format!("http://orders.shop:{}", orders.port()))?)
        .route("/rates/{*path}", route(format!("http://rates.shop:{}", rates.port()))?)
        .route("/echo/{*path}", route(format!("http://{}", echo::start().await?))?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, gateway).await });

    let clients: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(send(addr, REQUESTS / CLIENTS))).collect();
    let mut replaced = 0;
    while !clients.iter().all(JoinHandle::is_finished) {
        for service in [&orders, &rates] {
            replace_pod(service).await?;
            replaced += 1;
        }
    }
    let mut failed = 0;
    for client in clients {
        failed += client.await??;
    }
    println!("{REQUESTS} requests while {replaced} pods were replaced: {failed} failed");
    println!("upgraded connection: sent `ping`, received `{}`", echo::ping(addr).await?);
    Ok(())
}

/// Replaces the oldest pod as a Deployment does: a new one starts, and when it is ready, the old one leaves DNS and stops.
async fn replace_pod(service: &FakeService) -> Result<(), BoxError> {
    service.add_pod().await?;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    if let Some(old) = service.pods().first() {
        service.remove_pod(old.name()).await;
    }
    Ok(())
}

/// Sends requests one after the other, and returns how many failed. Every second one is a PUT: a POST is not sent again when a
/// pod closes its connection without an answer, because the pod may have done what it asks.
async fn send(gateway: SocketAddr, requests: usize) -> Result<usize, BoxError> {
    let client =
        HttpClient::new(&Resolver::builder().environment(Environment::empty()).build()?, gateway.to_string().as_str())?;
    let mut failed = 0;
    for at in 0..requests {
        let path = if at % 3 == 0 { "/rates/eur" } else { "/orders/v1/items" };
        let request = if at % 2 == 0 { Request::get(path) } else { Request::put(path) };
        match client.request(request.body("a pen".to_owned())?).await {
            Ok(response) if response.status() == StatusCode::OK => {}
            Ok(response) => {
                failed += 1;
                let (status, body) = (response.status(), response.into_body().collect().await?.to_bytes());
                eprintln!("{path}: {status}: {}", String::from_utf8_lossy(&body));
            }
            Err(error) => {
                failed += 1;
                eprintln!("{path}: {error}");
            }
        }
        // So that the requests last longer than the pods.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(failed)
}
