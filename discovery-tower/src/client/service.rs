//! The client.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use discovery_core::{
    Error as DiscoveryError, Resolver, Upstream,
    name::{NameError, Target},
};
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tower::Service;

use super::{builder::HttpClientBuilder, endpoint::EndpointClient, policy::ReplayRetry, replay::ReplayBody};
use crate::{Balance, Error, InFlightBody};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An HTTP client that balances each request over the endpoints of one target: a `tower::Service` of requests with any
/// body.
///
/// ```
/// # use discovery_testing::FakeCluster;
/// use discovery_tower::HttpClient;
/// use http::Request;
/// use http_body_util::BodyExt;
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// # let cluster = FakeCluster::start().await?;
/// # let service = cluster.service("shop", "orders").replicas(3).start().await?;
/// # let environment = discovery_tower::Environment::empty()
/// #     .with_env(cluster.env("shop"))
/// #     .with_resolv_conf(cluster.resolv_conf("shop"));
/// # let resolver = discovery_tower::Resolver::builder().environment(environment).build()?;
/// # let target = format!("http://orders.shop:{}", service.port());
/// // let resolver = Resolver::new()?;
/// // let target = "http://orders.shop:8080";
/// let orders = HttpClient::new(&resolver, target.as_str())?;
///
/// let response = orders.request(Request::post("/v1/items").body("a pen".to_owned())?).await?;
/// assert_eq!(response.status(), 200);
/// let body = response.into_body().collect().await?.to_bytes();
/// # assert!(body.starts_with(b"orders-"));
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// # }).unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # What does the server see?
///
/// The server sees the name of the Service in `Host` or `:authority`. With `https`, SNI names the Service, and the
/// certificate must be valid for that name. The client uses the path and the query of a request's URI, ignores the rest, and
/// replaces the `Host` header ([`HttpClientBuilder::preserve_host`] keeps it). It connects to the address and port of the
/// endpoint.
///
/// # Which requests are sent again?
///
/// The rules are those of [`HttpRetry`](crate::HttpRetry). The body may be of any type: a request is retried if its body has
/// not been read yet, or if at most 64 KiB of it have been read ([`HttpClientBuilder::replay_limit`]). See [`ReplayBody`].
///
/// # HTTP versions and upgrades
///
/// The client speaks HTTP/1.1, the version that a TLS connector negotiates (ALPN), or HTTP/2 without negotiation
/// ([`HttpClientBuilder::http2_prior_knowledge`]). [`upgrade`](crate::upgrade) takes over a connection that a response
/// upgraded, such as a WebSocket.
///
/// Cheap to clone; clones share the connections.
///
/// # Cancel safety
/// Dropping the future of a request at any point takes the request out of flight.
#[derive(Clone)]
pub struct HttpClient {
    balance: Balance<EndpointClient, ReplayRetry>,
    replay_limit: usize,
}

impl HttpClient {
    /// Creates a client for a target, such as `http://orders.shop:8080`, with the default settings. The name is resolved in
    /// the background: a request waits up to 3 s for an endpoint.
    ///
    /// # Errors
    /// As [`Resolver::upstream`]; and if the scheme is not `http`, because `https` needs a
    /// [connector](HttpClientBuilder::connector).
    pub fn new<T>(resolver: &Resolver, target: T) -> Result<Self, DiscoveryError>
    where
        T: TryInto<Target>,
        NameError: From<T::Error>,
    {
        Self::builder(resolver.upstream(target)?).build()
    }

    /// Configures a client for the target of `upstream`.
    pub fn builder(upstream: Upstream) -> HttpClientBuilder {
        HttpClientBuilder::new(upstream)
    }

    pub(super) fn from_parts(balance: Balance<EndpointClient, ReplayRetry>, replay_limit: usize) -> Self {
        Self { balance, replay_limit }
    }

    /// Sends a request, and returns the head of the response and its body as it arrives. The request is in flight until
    /// that body has ended or been dropped.
    ///
    /// # Errors
    /// If no endpoint is available, or if the last attempt failed. A response is not an error, whatever its status.
    ///
    /// # Cancel safety
    /// Dropping the future takes the request out of flight.
    pub async fn request<B>(&self, request: Request<B>) -> Result<Response<InFlightBody<Incoming>>, Error>
    where
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.clone().call(request).await
    }

    /// Returns the upstream whose endpoints receive the requests.
    #[must_use]
    pub fn upstream(&self) -> &Upstream {
        self.balance.upstream()
    }
}

impl<B> Service<Request<B>> for HttpClient
where
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<InFlightBody<Incoming>>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    /// Always ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.balance.call(request.map(|body| ReplayBody::new(body, self.replay_limit)))
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("balance", &self.balance).finish_non_exhaustive()
    }
}
