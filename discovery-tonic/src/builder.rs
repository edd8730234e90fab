//! The settings of a channel.

use std::{fmt, time::Duration};

use discovery_core::{Error, Upstream, endpoint::Endpoint};
use discovery_tower::{Balance, EndpointConnector, Origin};
use tonic::transport;

use crate::{
    attempt::{EndpointChannel, GrpcRetry},
    channel::Channel,
};

/// How much of a request is kept for a retry, unless set otherwise: as much as grpc-go keeps.
const REPLAY_LIMIT: usize = 256 * 1024;

/// How long an endpoint has to accept a TCP connection: as for HTTP clients.
const TCP_TIMEOUT: Duration = Duration::from_secs(1);

/// How long connecting may take in all: a pod that is short of CPU needs some seconds for a TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How often a connection with calls on it is pinged while it is silent, and how long the pod has to answer: the control
/// plane removes the pods of a dead node no sooner than 40 s after its last sign of life. gRPC servers close connections
/// with more frequent pings (`too_many_pings`).
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

type Configure = Box<dyn FnOnce(transport::Endpoint) -> Result<transport::Endpoint, transport::Error>>;

/// Configures a [`Channel`]. Created by [`Channel::builder`].
#[must_use = "call `build`"]
pub struct ChannelBuilder {
    upstream: Upstream,
    configure: Vec<Configure>,
    has_tls: bool,
    authority: Option<String>,
    replay_limit: usize,
    retry_unavailable: bool,
    wait_for_ready: bool,
    endpoint_timeout: Option<Duration>,
}

impl ChannelBuilder {
    pub(crate) fn new(upstream: Upstream) -> Self {
        Self {
            upstream,
            configure: Vec::new(),
            has_tls: false,
            authority: None,
            replay_limit: REPLAY_LIMIT,
            retry_unavailable: true,
            wait_for_ready: false,
            endpoint_timeout: None,
        }
    }

    /// Changes the settings of the endpoints' connections: windows, pings, limits, the user agent. Two of tonic's defaults
    /// are changed: a connection with calls in flight is pinged every 10 s, and must answer within 10 s; and
    /// `connect_timeout` is 3 s. `tcp_keepalive` is the only TCP setting that has an effect.
    pub fn endpoint(
        mut self,
        change: impl FnOnce(transport::Endpoint) -> Result<transport::Endpoint, transport::Error> + 'static,
    ) -> Self {
        self.configure.push(Box::new(change));
        self
    }

    /// Sets the TLS configuration, which an `https` target needs. The certificate is checked for the name of the Service,
    /// unless the configuration has another `domain_name`.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, config: transport::ClientTlsConfig) -> Self {
        self.has_tls = true;
        self.endpoint(move |endpoint| endpoint.tls_config(config))
    }

    /// Sets the name that servers see in `:authority`, and in SNI, as `host` or `host:port`. By default it is that of the
    /// target.
    pub fn authority(mut self, authority: impl Into<String>) -> Self {
        self.authority = Some(authority.into());
        self
    }

    /// Sets how many bytes of a request are kept for a retry; 256 KiB by default. A call is not retried once more of its
    /// request has been read.
    pub fn replay_limit(mut self, bytes: usize) -> Self {
        self.replay_limit = bytes;
        self
    }

    /// Sets whether a call is retried on another endpoint if the server answers with the status UNAVAILABLE and nothing
    /// else (a trailers-only response); on by default. Switch it off if your servers return UNAVAILABLE after they have
    /// carried out a call that must not be repeated.
    pub fn retry_unavailable(mut self, retry: bool) -> Self {
        self.retry_unavailable = retry;
        self
    }

    /// Sets whether calls wait until an endpoint can be reached, up to their deadline, instead of failing with UNAVAILABLE;
    /// off by default, as in gRPC ("wait for ready"). A call without a deadline then waits without a limit.
    pub fn wait_for_ready(mut self, wait: bool) -> Self {
        self.wait_for_ready = wait;
        self
    }

    /// Sets how long a call waits while the target has no endpoint; 3 s by default. See
    /// [`Balance::with_endpoint_timeout`].
    pub fn endpoint_timeout(mut self, timeout: Duration) -> Self {
        self.endpoint_timeout = Some(timeout);
        self
    }

    /// Builds the channel. Nothing is connected yet.
    ///
    /// # Errors
    /// [`Error::is_config`] if the scheme of the target is neither `http` nor `https`, if it is `https` without `tls`, if
    /// the [`authority`](Self::authority) is malformed, or if tonic rejects a setting.
    pub fn build(self) -> Result<Channel, Error> {
        let target = self.upstream.target();
        let mut origin = Origin::new(target)?;
        if let Some(authority) = &self.authority {
            origin = origin.with_authority(authority)?;
        }
        if origin.is_https() && !self.has_tls {
            let text =
                format!("`{target}` is https, and the channel has no TLS; set `ChannelBuilder::tls` (feature `tls`)");
            return Err(Error::config(text));
        }
        let mut template = transport::Endpoint::from(origin.uri(http::Uri::default()))
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        for change in self.configure {
            template = change(template).map_err(|error| rejected(&error))?;
        }
        let port = origin.port();
        let balance = Balance::new(self.upstream, move |endpoint: &Endpoint| {
            let mut connector = EndpointConnector::new(endpoint, port).with_timeout(TCP_TIMEOUT);
            if let Some(idle) = template.get_tcp_keepalive() {
                connector = connector.with_tcp_keepalive(idle);
            }
            EndpointChannel::new(template.connect_with_connector_lazy(connector))
        });
        let balance = balance.with_probe(port, TCP_TIMEOUT);
        let balance = match self.endpoint_timeout {
            Some(timeout) => balance.with_endpoint_timeout(timeout),
            None => balance,
        };
        let policy = GrpcRetry { retry_unavailable: self.retry_unavailable };
        Ok(Channel::from_parts(balance.with_retry_policy(policy), self.replay_limit, self.wait_for_ready))
    }
}

fn rejected(error: &transport::Error) -> Error {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    Error::config(format!("tonic rejected a setting of the endpoint: {error}{cause}"))
}

impl fmt::Debug for ChannelBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelBuilder")
            .field("target", self.upstream.target())
            .field("authority", &self.authority)
            .field("replay_limit", &self.replay_limit)
            .field("retry_unavailable", &self.retry_unavailable)
            .field("wait_for_ready", &self.wait_for_ready)
            .field("endpoint_timeout", &self.endpoint_timeout)
            .finish_non_exhaustive()
    }
}
