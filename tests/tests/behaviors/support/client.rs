//! `discovery_reqwest::Client` and the pods of Service `orders`.

use bytes::Bytes;
use discovery_core::ResolverBuilder;
use discovery_reqwest::{Client, ClientBuilder, Error, ResponseExt};
use discovery_testing::{FakeCluster, FakeDns, FakePod, FakeService};
use futures_util::{StreamExt, stream};
use http_body_util::Full;
use reqwest::{Body, Response};
pub(crate) use tests::within_load as within;
use tests::{brisk, in_pod};

pub(crate) struct ClientWorld {
    pub(crate) service: FakeService,
    pub(crate) cluster: FakeCluster,
}

impl ClientWorld {
    /// A cluster whose DNS server has TTL 0, so that the client notices changes at once.
    pub(crate) async fn new(replicas: usize) -> Self {
        let cluster = FakeCluster::with_dns(FakeDns::builder().ttl(0).start().await.unwrap());
        let service = cluster.service("shop", "orders").replicas(replicas).start().await.unwrap();
        Self { service, cluster }
    }

    pub(crate) fn resolver(&self) -> ResolverBuilder {
        in_pod(self.cluster.dns(), "shop").refresh(brisk())
    }

    pub(crate) fn client(&self) -> Client {
        self.builder().build().unwrap()
    }

    /// Ignores the proxies of this machine.
    pub(crate) fn builder(&self) -> ClientBuilder {
        Client::builder(self.resolver().build().unwrap()).no_proxy()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://orders.shop:{}/", self.service.port())
    }

    pub(crate) fn pod(&self, index: usize) -> FakePod {
        self.service.pods().swap_remove(index)
    }

    pub(crate) fn received(&self) -> Vec<usize> {
        self.service.pods().iter().map(FakePod::requests).collect()
    }
}

/// Sends this many GET requests, `at_a_time` at once, and reads the answers; returns the errors and the number of requests
/// that were retried.
pub(crate) async fn send(client: &Client, url: &str, requests: usize, at_a_time: usize) -> (Vec<Error>, usize) {
    let calls = (0..requests).map(|_| async {
        let response = client.get(url).send().await?;
        let tried = response.endpoints_tried();
        // A response that is kept unread would count as load.
        drop(response.bytes().await);
        Ok(tried)
    });
    let results: Vec<_> = within("all answers", stream::iter(calls).buffer_unordered(at_a_time).collect()).await;
    let retried = results.iter().flatten().filter(|tried| **tried > 1).count();
    (results.into_iter().filter_map(Result::err).collect(), retried)
}

pub(crate) fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

pub(crate) fn over_http(
    http2: bool,
) -> impl Fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder + Send + Sync + 'static {
    move |builder| if http2 { builder.http2_prior_knowledge() } else { builder.http1_only() }
}

/// The `x-host` header of the answer: the host that the pod was sent.
pub(crate) async fn host(client: &Client, url: &str) -> String {
    let response = within("an answer", client.get(url).send()).await.unwrap();
    assert_eq!(response.status(), 200);
    header(&response, "x-host").to_owned()
}

/// A body that can be sent only once.
pub(crate) fn streamed() -> Body {
    Body::wrap(Full::new(Bytes::from_static(b"an order")))
}
