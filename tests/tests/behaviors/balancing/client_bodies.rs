//! With `Client`, a request counts until the body of its response has ended.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use discovery_core::{Environment, Resolver, endpoint::Endpoint};
use discovery_reqwest::{Client, ResponseExt};
use discovery_testing::{ManualHandle, ManualSource};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::support::client::within;

/// What a pod sends after the head of its response and the first chunk of its body.
#[derive(Clone, Copy)]
enum Rest {
    /// Nothing, while the connection stays open.
    Never,
    /// The end of the connection, in the middle of the body.
    Broken,
    /// The end of the body.
    End,
}

/// A pod that answers every request with a chunked body.
struct StreamingPod {
    addr: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl StreamingPod {
    async fn start(rest: Rest) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, requests) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counted = requests.clone();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let counted = counted.clone();
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while let Ok(byte) = client.read_u8().await {
                        head.push(byte);
                        if !head.ends_with(b"\r\n\r\n") {
                            continue;
                        }
                        head.clear();
                        counted.fetch_add(1, Relaxed);
                        let _ = client
                            .write_all(
                                b"HTTP/1.1 200 OK\r\nx-pod: me\r\ntransfer-encoding: chunked\r\n\r\n4\r\ndata\r\n",
                            )
                            .await;
                        match rest {
                            Rest::Never => {}
                            Rest::Broken => return,
                            Rest::End => drop(client.write_all(b"0\r\n\r\n").await),
                        }
                    }
                });
            }
        });
        Self { addr, requests }
    }
}

fn client(pods: &[&StreamingPod]) -> (Client, ManualHandle) {
    let (source, handle) = ManualSource::new();
    handle.set_endpoints(pods.iter().map(|pod| Endpoint::new(pod.addr)));
    let resolver = Resolver::builder().environment(Environment::empty()).source(Arc::new(source)).build().unwrap();
    (Client::builder(resolver).no_proxy().build().unwrap(), handle)
}

/// 40 streams are open on one pod when a second pod appears. 40 more streams have to even them out.
#[tokio::test]
async fn open_streams_count_as_load() {
    let (one, other) = (StreamingPod::start(Rest::Never).await, StreamingPod::start(Rest::Never).await);
    let (client, handle) = client(&[&one]);
    let mut open = Vec::new();
    for _ in 0..40 {
        open.push(within("a head", client.get("http://orders/").send()).await.unwrap());
    }
    handle.set_endpoints([&one, &other].map(|pod| Endpoint::new(pod.addr)));
    let upstream = client.resolver().upstream("http://orders").unwrap();
    tests::until(&upstream, "the second pod", |set| set.len() == 2).await;
    for _ in 0..40 {
        open.push(within("a head", client.get("http://orders/").send()).await.unwrap());
    }
    let seen = [&one, &other].map(|pod| pod.requests.load(Relaxed));
    assert!(seen.iter().all(|count| (38..=42).contains(count)), "{seen:?}");
}

/// A pod that breaks off every body gets next to nothing.
#[tokio::test]
async fn a_body_that_breaks_is_the_endpoints_failure() {
    let broken = StreamingPod::start(Rest::Broken).await;
    let good = [
        StreamingPod::start(Rest::End).await,
        StreamingPod::start(Rest::End).await,
        StreamingPod::start(Rest::End).await,
    ];
    let (client, _handle) = client(&[&broken, &good[0], &good[1], &good[2]]);
    for _ in 0..50 {
        let batch = (0..8).map(|_| async {
            let response = client.get("http://orders/").send().await.unwrap();
            response.bytes().await.is_ok()
        });
        within("the answers", futures_util::future::join_all(batch)).await;
    }
    let seen = broken.requests.load(Relaxed);
    println!("breaks every body: {seen} of 400 requests");
    assert!(seen < 20, "{seen} of 400");
}

/// What reqwest knows of a response stays, although its body is watched.
#[tokio::test]
async fn a_response_keeps_its_url_head_and_body() {
    let pod = StreamingPod::start(Rest::End).await;
    let (client, _handle) = client(&[&pod]);
    let response = within("an answer", client.get("http://orders/path?query=1").send()).await.unwrap();
    assert_eq!(response.url().as_str(), "http://orders/path?query=1");
    assert_eq!((response.status().as_u16(), response.version()), (200, http::Version::HTTP_11));
    assert_eq!(response.headers()["x-pod"], "me");
    assert_eq!(response.remote_addr(), Some(pod.addr));
    assert_eq!(response.content_length(), None);
    assert_eq!(response.endpoints_tried(), 1);
    assert_eq!(within("the body", response.text()).await.unwrap(), "data");
}
