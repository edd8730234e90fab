//! `HttpClient` on a fake cluster.
#![cfg(feature = "client")]

use std::{error::Error, sync::Arc, time::Duration};

use bytes::Bytes;
use discovery_testing::{Behavior, FakeCluster, FakeService, ManualSource};
use discovery_tower::{Environment, HttpClient, Resolver};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, StreamBody};
use tokio_stream::StreamExt;

type BoxError = Box<dyn Error + Send + Sync>;

async fn cluster(replicas: usize) -> Result<(FakeCluster, FakeService, Resolver), BoxError> {
    let cluster = FakeCluster::start().await?;
    let echo = |request: Request<Bytes>| http::Response::new(request.into_body());
    let service = cluster.service("shop", "orders").replicas(replicas).handler(echo).start().await?;
    let environment = Environment::empty().with_env(cluster.env("shop")).with_resolv_conf(cluster.resolv_conf("shop"));
    let resolver = Resolver::builder().environment(environment).build()?;
    Ok((cluster, service, resolver))
}

fn get() -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    *request.uri_mut() = Uri::from_static("/v1/items");
    request.headers_mut().insert("host", HeaderValue::from_static("gateway.example.com"));
    request
}

#[tokio::test]
async fn the_server_sees_the_name_of_the_service() -> Result<(), BoxError> {
    let (_cluster, service, resolver) = cluster(3).await?;
    let target = format!("http://orders.shop:{}", service.port());
    let client = HttpClient::new(&resolver, target.as_str())?;
    for _ in 0..30 {
        let response = client.request(get()).await?;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["x-host"], format!("orders.shop:{}", service.port()));
        response.into_body().collect().await?;
    }
    assert!(service.requests().values().all(|requests| *requests > 0), "{:?}", service.requests());

    let preserving = HttpClient::builder(resolver.upstream(target.as_str())?).preserve_host(true).build()?;
    assert_eq!(preserving.request(get()).await?.headers()["x-host"], "gateway.example.com");
    let renamed = HttpClient::builder(resolver.upstream(target.as_str())?).authority("orders.example.com").build()?;
    assert_eq!(renamed.request(get()).await?.headers()["x-host"], "orders.example.com");
    Ok(())
}

#[tokio::test]
async fn a_named_port_is_not_part_of_the_name() -> Result<(), BoxError> {
    let (_cluster, service, resolver) = cluster(1).await?;
    let client = HttpClient::new(&resolver, "http://_http._tcp.orders.shop")?;
    assert_eq!(client.request(get()).await?.headers()["x-host"], "orders.shop");
    assert_eq!(service.requests().values().sum::<usize>(), 1);
    Ok(())
}

#[tokio::test]
async fn http2_has_one_connection_for_each_endpoint() -> Result<(), BoxError> {
    let (_cluster, service, resolver) = cluster(2).await?;
    let target = format!("http://orders.shop:{}", service.port());
    let client = HttpClient::builder(resolver.upstream(target.as_str())?).http2_prior_knowledge().build()?;
    let requests: Vec<_> = (0..40).map(|_| client.request(get())).collect();
    for response in futures_util::future::join_all(requests).await {
        let response = response?;
        assert_eq!(response.version(), http::Version::HTTP_2);
        assert_eq!(response.headers()["x-host"], format!("orders.shop:{}", service.port()));
    }
    assert!(service.pods().iter().all(|pod| pod.connections() == 1));
    Ok(())
}

#[tokio::test]
async fn a_streamed_body_fails_over_after_a_connect_error() -> Result<(), BoxError> {
    let (_cluster, service, _) = cluster(2).await?;
    let pods = service.pods();
    let (source, handle) = ManualSource::new();
    let addrs: Vec<String> = pods.iter().map(|pod| pod.addr().to_string()).collect();
    handle.set(addrs.iter().map(String::as_str));
    pods[0].kill().await;
    let resolver = Resolver::builder().environment(Environment::empty()).source(Arc::new(source)).build()?;
    let client = HttpClient::builder(resolver.upstream("http://orders")?).replay_limit(0).build()?;
    for _ in 0..20 {
        let pieces = tokio_stream::iter(["a".repeat(1 << 20), "b".repeat(10)]);
        let frames = pieces.map(|piece| Ok::<_, BoxError>(http_body::Frame::data(Bytes::from(piece))));
        let response = client.request(Request::post("/v1/items").body(StreamBody::new(frames))?).await?;
        assert_eq!(response.into_body().collect().await?.to_bytes().len(), (1 << 20) + 10);
    }
    assert_eq!(pods[0].requests(), 0);
    Ok(())
}

#[tokio::test]
async fn an_interrupted_put_is_sent_again_with_its_body_and_a_post_is_not() -> Result<(), BoxError> {
    for (method, is_repeated) in [("PUT", true), ("POST", false)] {
        let (_cluster, service, resolver) = cluster(2).await?;
        let target = format!("http://orders.shop:{}", service.port());
        let client = HttpClient::new(&resolver, target.as_str())?;
        let pods = service.pods();
        pods.iter().for_each(|pod| pod.set_behavior(Behavior::Hanging));
        let request = Request::builder().method(method).uri("/").body(Full::new(Bytes::from("a pen")))?;
        let sent = tokio::spawn(async move { client.request(request).await });
        let hung = async {
            tokio::select! {
                () = pods[0].when(|seen| seen.in_flight == 1) => (&pods[0], &pods[1]),
                () = pods[1].when(|seen| seen.in_flight == 1) => (&pods[1], &pods[0]),
            }
        };
        let (hung, other) = tokio::time::timeout(Duration::from_secs(20), hung).await?;
        other.set_behavior(Behavior::Healthy);
        hung.kill().await;
        match sent.await? {
            Ok(response) => {
                assert!(is_repeated, "{method}");
                assert_eq!(response.into_body().collect().await?.to_bytes(), "a pen");
            }
            Err(error) => assert!(!is_repeated && error.endpoints_tried() == 1, "{method}: {error}"),
        }
    }
    Ok(())
}

#[tokio::test]
async fn https_needs_a_connector_and_another_scheme_is_an_error() -> Result<(), BoxError> {
    let (_cluster, _service, resolver) = cluster(1).await?;
    for (target, part) in [("https://orders.shop", "connector"), ("redis://orders.shop", "`redis`")] {
        let error = HttpClient::new(&resolver, target).unwrap_err();
        assert!(error.is_config() && error.to_string().contains(part), "{target}: {error}");
    }
    Ok(())
}
