//! The settings of a client.

use std::{fmt, sync::Arc, time::Duration};

use discovery_core::{Error, Upstream, endpoint::Endpoint, policy::retry::REMOVED_SILENCE};
use http::Uri;
use hyper::rt::{Read, Write};
use hyper_util::{
    client::legacy::{Builder, Client, connect::Connection},
    rt::{TokioExecutor, TokioTimer},
};
use tower::Service;

use super::{
    connector::{CONNECT_TIMEOUT, EndpointConnector},
    endpoint::EndpointClient,
    io::{Dial, dial},
    origin::Origin,
    policy::ReplayRetry,
    service::HttpClient,
};
use crate::Balance;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How much of a body is kept for a retry, unless set otherwise: most requests of APIs are smaller, and 1000 requests in
/// flight keep 64 MiB at most.
const REPLAY_LIMIT: usize = 64 * 1024;

/// How often an HTTP/2 connection with requests on it is pinged while it is silent, and how long the pod has to answer.
/// Kubernetes removes the pods of a dead node no sooner than 40 s after its last sign of life, and servers close connections
/// with more frequent pings (`too_many_pings`). A pod must not lose its requests for a pause of some seconds.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Configures an [`HttpClient`]. Created by [`HttpClient::builder`].
///
/// ```no_run
/// # fn example(resolver: &discovery_tower::Resolver) -> Result<(), Box<dyn std::error::Error>> {
/// use discovery_tower::HttpClient;
/// use hyper_rustls::HttpsConnectorBuilder;
///
/// let orders = HttpClient::builder(resolver.upstream("https://orders.shop:8443")?)
///     .connector(|endpoint| {
///         let tls = HttpsConnectorBuilder::new().with_webpki_roots().https_only();
///         tls.enable_all_versions().wrap_connector(endpoint)
///     })
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "call `build`"]
pub struct HttpClientBuilder {
    upstream: Upstream,
    connector: Option<Arc<dyn Fn(EndpointConnector) -> Dial + Send + Sync>>,
    authority: Option<String>,
    preserve_host: bool,
    connect_timeout: Duration,
    endpoint_timeout: Option<Duration>,
    removed_silence: Duration,
    replay_limit: usize,
    hyper: Builder,
}

impl HttpClientBuilder {
    pub(super) fn new(upstream: Upstream) -> Self {
        let mut hyper = Client::builder(TokioExecutor::new());
        hyper
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT);
        Self {
            upstream,
            connector: None,
            authority: None,
            preserve_host: false,
            connect_timeout: CONNECT_TIMEOUT,
            endpoint_timeout: None,
            removed_silence: REMOVED_SILENCE,
            replay_limit: REPLAY_LIMIT,
            hyper,
        }
    }

    /// Wraps the connector of each endpoint, for example in TLS, which `https` targets need. The connector passed to `wrap`
    /// dials its endpoint and ignores the URI. The URI of each connection contains the name of the Service.
    ///
    /// Connecting may take 3 s in total, including the TLS handshake.
    pub fn connector<C>(mut self, wrap: impl Fn(EndpointConnector) -> C + Send + Sync + 'static) -> Self
    where
        C: Service<Uri> + Clone + Send + Sync + 'static,
        C::Response: Read + Write + Connection + Send + Unpin + 'static,
        C::Error: Into<BoxError>,
        C::Future: Send + 'static,
    {
        self.connector = Some(Arc::new(move |connector| dial(wrap(connector))));
        self
    }

    /// Sets the name that servers see, as `host` or `host:port`: in `Host`, `:authority` and SNI. By default it is that of
    /// the target.
    pub fn authority(mut self, authority: impl Into<String>) -> Self {
        self.authority = Some(authority.into());
        self
    }

    /// Sets whether the `Host` header of a request is sent unchanged; off by default. A reverse proxy switches this on if
    /// its servers need the name that the client asked for. Use it with HTTP/1.1 only: over HTTP/2, `:authority` names the
    /// Service, and servers may reject a request whose `Host` differs from it.
    pub fn preserve_host(mut self, preserve: bool) -> Self {
        self.preserve_host = preserve;
        self
    }

    /// Sets how long an endpoint has to accept a TCP connection; 1 s by default, which is also how long unreachable
    /// endpoints have when they are probed.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how long a request waits while the target has no endpoint; 3 s by default. See
    /// [`Balance::with_endpoint_timeout`].
    pub fn endpoint_timeout(mut self, timeout: Duration) -> Self {
        self.endpoint_timeout = Some(timeout);
        self
    }

    /// Sets how long an endpoint that has left the set may be silent before its requests are retried on another endpoint;
    /// 1 s by default. See [`Balance::with_removed_silence`].
    pub fn removed_silence(mut self, silence: Duration) -> Self {
        self.removed_silence = silence;
        self
    }

    /// Sets how many bytes of a request body are kept for a retry; 64 KiB by default. A request is not retried once more of
    /// its body has been read. With 0, a request is retried only if its body has not been read at all.
    pub fn replay_limit(mut self, bytes: usize) -> Self {
        self.replay_limit = bytes;
        self
    }

    /// Speaks HTTP/2 without negotiating it, as servers without TLS need: one connection for each endpoint.
    pub fn http2_prior_knowledge(mut self) -> Self {
        self.hyper.http2_only(true);
        self
    }

    /// Changes the settings of the endpoints' hyper clients: pools, windows, pings. They differ from hyper-util's defaults
    /// in their timers and in the pings of HTTP/2 connections with requests on them: every 10 s, to be answered within
    /// 10 s.
    pub fn configure(mut self, change: impl FnOnce(&mut Builder)) -> Self {
        change(&mut self.hyper);
        self
    }

    /// Builds the client. Nothing is connected yet.
    ///
    /// # Errors
    /// [`Error::is_config`] if the scheme of the target is neither `http` nor `https`, if it is `https` without a
    /// [`connector`](Self::connector), or if the [`authority`](Self::authority) is malformed.
    pub fn build(self) -> Result<HttpClient, Error> {
        let target = self.upstream.target();
        let mut origin = Origin::new(target)?;
        if let Some(authority) = &self.authority {
            origin = origin.with_authority(authority)?;
        }
        let wrap = match self.connector {
            Some(wrap) => wrap,
            None if origin.is_https() => {
                let text =
                    format!("`{target}` is https, and the client has no TLS; set `HttpClientBuilder::connector`");
                return Err(Error::config(text));
            }
            None => Arc::new(dial),
        };
        let Self { hyper, connect_timeout, preserve_host, .. } = self;
        let port = origin.port();
        let origin = Arc::new(origin);
        let balance = Balance::new(self.upstream, move |endpoint: &Endpoint| {
            let connector = EndpointConnector::new(endpoint, port).with_timeout(connect_timeout);
            EndpointClient::new(hyper.build(wrap(connector)), origin.clone(), preserve_host)
        });
        let balance = balance.with_removed_silence(self.removed_silence).with_probe(port, connect_timeout);
        let balance = match self.endpoint_timeout {
            Some(timeout) => balance.with_endpoint_timeout(timeout),
            None => balance,
        };
        Ok(HttpClient::from_parts(balance.with_retry_policy(ReplayRetry), self.replay_limit))
    }
}

impl fmt::Debug for HttpClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClientBuilder")
            .field("target", self.upstream.target())
            .field("authority", &self.authority)
            .field("preserve_host", &self.preserve_host)
            .field("connect_timeout", &self.connect_timeout)
            .field("endpoint_timeout", &self.endpoint_timeout)
            .field("removed_silence", &self.removed_silence)
            .field("replay_limit", &self.replay_limit)
            .finish_non_exhaustive()
    }
}
