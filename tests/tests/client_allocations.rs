//! What a request of `Client` allocates, beside that of a plain `reqwest::Client`. A program of its own, because its
//! allocator counts.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{net::SocketAddr, sync::Arc};

use discovery_core::{Environment, Resolver, endpoint::Endpoint};
use discovery_reqwest::{Client, ClientBuilder};
use discovery_testing::{FakePod, ManualSource};
use http::Method;
use tokio::runtime::{Builder, Runtime};

const REQUESTS: u64 = 500;

/// Allocations of one request on this thread: the pod runs on another one.
fn per_request(runtime: &Runtime, request: impl AsyncFn()) -> f64 {
    let run = |requests: u64| {
        runtime.block_on(async {
            for _ in 0..requests {
                request().await;
            }
        });
    };
    run(20);
    allocation_counter::measure(|| run(REQUESTS)).count_total as f64 / REQUESTS as f64
}

fn serve() -> (Runtime, SocketAddr, FakePod) {
    let server = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let pod = server.block_on(FakePod::start("pod")).unwrap();
    (server, pod.addr(), pod)
}

fn builder(addr: SocketAddr) -> ClientBuilder {
    let (source, handle) = ManualSource::new();
    handle.set_endpoints([Endpoint::new(addr)]);
    let resolver = Resolver::builder().environment(Environment::empty()).source(Arc::new(source)).build().unwrap();
    Client::builder(resolver).no_proxy()
}

/// Sends a request and reads the answer.
async fn send(client: &Client, method: Method, url: &str) {
    let response = client.request(method, url).send().await.unwrap();
    assert_eq!(response.bytes().await.unwrap().as_ref(), b"pod");
}

#[test]
fn keeping_a_request_in_flight_until_its_body_has_ended_takes_few_allocations() {
    let (_server, addr, _pod) = serve();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let plain = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{addr}/path");
    let plain = per_request(&runtime, async || drop(plain.get(&url).send().await.unwrap().bytes().await.unwrap()));
    let until_body = runtime.block_on(async { builder(addr).build().unwrap() });
    let until_head = runtime.block_on(async { builder(addr).head_only().build().unwrap() });
    for url in [format!("http://orders:{}/path", addr.port()), "http://orders/path".into()] {
        for (method, limit) in [(Method::GET, FOR_GET), (Method::POST, FOR_POST)] {
            let body = per_request(&runtime, async || send(&until_body, method.clone(), &url).await);
            let head = per_request(&runtime, async || send(&until_head, method.clone(), &url).await);
            println!(
                "figure: allocations of {method} {url}: plain GET {plain}, until the head {head}, until the body {body}"
            );
            assert!(body - head < limit + 0.5, "{method} {url}: {body} until the body, {head} until the head");
            // Without reqwest's own retries, a request of ours needs no more than a plain one, but for the layer.
            assert!(body < plain + FOR_LAYER + 0.5, "{method} {url}: {body}, a plain GET {plain}");
        }
    }
}

/// Three boxes for the body, one for the URL, and one to hand the URL to reqwest. A GET request has a copy of the URL in
/// case that it is sent again, and passes it on.
const FOR_GET: f64 = 5.0;
/// The same and the text of the URL.
const FOR_POST: f64 = 6.0;
/// A layer is around the connector: it connects to the endpoint's port, and says whether a request waits for a
/// connection. reqwest boxes such a connector twice, and hyper clones it for each request: ten allocations more than
/// without a layer.
const FOR_LAYER: f64 = 10.0;
