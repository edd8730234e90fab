//! The configuration of a client.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use discovery_core::{Resolver, policy::retry::REMOVED_SILENCE};

use super::{
    Client, attempt,
    connector::ConnectorLayer,
    endpoint_port::Scout,
    proxied::{self, SystemProxies},
};
#[cfg(feature = "cookies")]
use crate::cookies::{FilteredCookies, ServiceCookies};
use crate::{Error, cache::Limits, dns::RedirectResolver};

/// How long a request waits for an endpoint, unless set otherwise: callers do not notice the rolling restart of a single
/// pod, and learn of an outage before they lose patience.
const ENDPOINT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long connecting may take, unless set otherwise in [`ClientBuilder::configure`]. A node that disappeared does not
/// refuse connections, and the kernel would try for two minutes. Within 3 s it sends the SYN packet three times.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How often an HTTP/2 connection with requests on it is pinged while it is silent, unless set otherwise in
/// [`ClientBuilder::configure`].
///
/// Kubernetes removes the pods of a dead node no sooner than 40 s after the node's last sign of life, and until then only the
/// client can notice. Shorter intervals cost more than they gain: a gRPC server closes a connection after a few pings with
/// nothing sent between them (`too_many_pings`), and a shorter interval would break shorter calls.
#[cfg(feature = "http2")]
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(10);

/// How long the pod has to answer a ping, unless set otherwise. A pod answers pings whatever its requests do, but not while
/// a long garbage collection or its CPU limit stops it. Closing the connection fails all of its requests, so it must
/// not happen for a pause of some seconds.
#[cfg(feature = "http2")]
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the kernel waits for the acknowledgment of data, or of TCP's own keep-alive probes, before it gives a
/// connection up (TCP_USER_TIMEOUT, RFC 5482), unless set otherwise. It is what finds dead connections of HTTP/1.1. Not
/// shorter: a pod that pauses an upload with a closed window for so long would lose the connection.
#[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);

type Configure = Arc<dyn Fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder + Send + Sync>;

/// Configures a [`Client`].
#[must_use = "call `build`"]
pub struct ClientBuilder {
    resolver: Resolver,
    settings: Settings,
}

/// The settings that the clients of all endpoints share.
#[derive(Clone)]
pub(super) struct Settings {
    configure: Configure,
    tls: Option<Configure>,
    cookies: Option<Configure>,
    dns: RedirectResolver,
    /// Made when the first endpoint has another port than the URL.
    scout: Arc<OnceLock<Scout>>,
    targets: Limits,
    /// The proxies of the environment may be used.
    proxies: bool,
    /// Replaces the timeout of `configure`.
    connect_timeout: Option<Duration>,
    /// `configure` sets a proxy of its own.
    own_proxy: bool,
    endpoint_timeout: Duration,
    attempt_timeout: Option<Duration>,
    removed_silence: Duration,
    head_only: bool,
}

impl Settings {
    /// How long a request waits for an endpoint.
    pub(super) fn endpoint_timeout(&self) -> Duration {
        self.endpoint_timeout
    }

    /// Requests are in flight until the head of the response only.
    pub(super) fn head_only(&self) -> bool {
        self.head_only
    }

    /// How long an endpoint has to begin its answer.
    pub(super) fn attempt_timeout(&self) -> Option<Duration> {
        self.attempt_timeout
    }

    /// How long an endpoint that has left the set may be silent.
    pub(super) fn removed_silence(&self) -> Duration {
        self.removed_silence
    }

    /// How long a connection in the background may take.
    pub(super) fn connect_timeout(&self) -> Duration {
        self.connect_timeout.unwrap_or(CONNECT_TIMEOUT)
    }

    /// Whether `configure` sets a proxy of its own.
    pub(super) fn has_own_proxy(&self) -> bool {
        self.own_proxy
    }

    /// The same settings with this connect timeout, which replaces that of `configure`.
    pub(super) fn with_connect_timeout(&self, timeout: Duration) -> Self {
        Self { connect_timeout: Some(timeout), ..self.clone() }
    }

    /// How many targets are kept, and for how long without a request.
    pub(super) fn targets(&self) -> Limits {
        self.targets
    }

    /// Makes destinations for [`EndpointPort`]. One for all endpoints, because a TLS configuration takes milliseconds.
    pub(super) fn scout(&self) -> Result<Scout, reqwest::Error> {
        if let Some(scout) = self.scout.get() {
            return Ok(scout.clone());
        }
        let builder = reqwest::Client::builder();
        // No certificate is checked, so the machine need not have any.
        #[cfg(feature = "rustls")]
        let builder = builder.tls_certs_only([]);
        let scout = Scout::new(self.tls.iter().fold(builder, |builder, set| set(builder)))?;
        Ok(self.scout.get_or_init(|| scout).clone())
    }

    /// The builder of one endpoint's client. It does not retry by itself: such a retry would go to the same endpoint, would
    /// not be paid from the budget, and costs a copy of each request.
    ///
    /// `layer` is applied first, so that layers of `configure` are around it.
    pub(super) fn endpoint(&self, proxies: bool, layer: ConnectorLayer) -> reqwest::ClientBuilder {
        let builder = reqwest::Client::builder().connector_layer(layer);
        // Without this feature the application may still use HTTP/2, and then only reqwest recognizes a refusal.
        #[cfg(feature = "http2")]
        let builder = builder
            .retry(reqwest::retry::never().max_retries_per_request(0))
            .http2_keep_alive_interval(HTTP2_PING_INTERVAL)
            .http2_keep_alive_timeout(HTTP2_PING_TIMEOUT);
        #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
        let builder = builder.tcp_user_timeout(TCP_USER_TIMEOUT);
        self.configured(builder, proxies)
    }

    /// The builder of a client that belongs to no endpoint.
    pub(super) fn client(&self, proxies: bool) -> reqwest::ClientBuilder {
        self.configured(reqwest::Client::builder(), proxies)
    }

    /// Applies the settings. The client uses the proxies of the environment if `proxies` and unless they are switched off.
    /// It resolves the hosts of redirects through the same resolver as those of requests, and keeps none of them.
    fn configured(&self, builder: reqwest::ClientBuilder, proxies: bool) -> reqwest::ClientBuilder {
        let defaults = builder.dns_resolver(self.dns.clone()).connect_timeout(CONNECT_TIMEOUT);
        let defaults = if proxies && self.proxies { defaults } else { defaults.no_proxy() };
        let builder = (self.configure)(attempt::watch_redirects(defaults));
        let builder = match self.connect_timeout {
            Some(timeout) => builder.connect_timeout(timeout),
            None => builder,
        };
        [&self.tls, &self.cookies].into_iter().flatten().fold(builder, |builder, set| set(builder))
    }
}

impl ClientBuilder {
    pub(super) fn new(resolver: Resolver) -> Self {
        let dns = RedirectResolver::new(resolver.clone());
        Self {
            resolver,
            settings: Settings {
                configure: Arc::new(|builder| builder),
                tls: None,
                cookies: None,
                dns,
                scout: Arc::default(),
                targets: Limits::default(),
                proxies: true,
                connect_timeout: None,
                own_proxy: false,
                endpoint_timeout: ENDPOINT_TIMEOUT,
                attempt_timeout: None,
                removed_silence: REMOVED_SILENCE,
                head_only: false,
            },
        }
    }

    /// Configures the `reqwest::Client` of each endpoint. `configure` is called once for each of them.
    ///
    /// The builder that it receives has these settings, and what `configure` sets instead counts:
    ///
    /// | setting | value | reason |
    /// |---|---|---|
    /// | `connect_timeout` | 3 s | a node that disappeared does not refuse connections |
    /// | `redirect` | reqwest's default policy | |
    /// | `retry` (feature `http2`) | never | reqwest's retries go to the same endpoint |
    /// | `http2_keep_alive_interval` (feature `http2`) | 10 s | a connection to a dead node stays open. `None` switches the pings off |
    /// | `http2_keep_alive_timeout` (feature `http2`) | 10 s | a pod that pauses for some seconds is not dead |
    /// | `tcp_user_timeout` (Linux, Android, Fuchsia) | 30 s | finds dead connections of HTTP/1.1 |
    ///
    /// A connection is pinged only while requests are on it. A connection that has been idle for longer than the interval is
    /// pinged when its next request begins.
    ///
    /// A gRPC server may close the connection with `too_many_pings` when all calls on it are silent for half a minute or
    /// longer: by default, grpc-go allows one ping in 5 min and a few more. For such calls, use a longer interval, or allow
    /// the pings in the server (`MinTime` of grpc-go's `EnforcementPolicy`, `permitKeepAliveTime` of grpc-java).
    ///
    /// Redirects are recognized by the policy that is set here. If you replace it, a redirected request that then fails to
    /// connect may be sent to another endpoint.
    pub fn configure(
        mut self,
        configure: impl Fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder + Send + Sync + 'static,
    ) -> Self {
        self.settings.configure = Arc::new(configure);
        self
    }

    /// Shares one TLS configuration between the clients of all endpoints.
    ///
    /// `config` is what `reqwest::ClientBuilder::tls_backend_preconfigured` accepts, such as a `rustls::ClientConfig` of
    /// the version that reqwest uses. Without it, each endpoint's client builds its own configuration, which takes about
    /// two milliseconds. Certificates that are set in [`configure`](Self::configure) have no effect beside it.
    #[cfg(feature = "rustls")]
    pub fn tls<T: std::any::Any + Clone + Send + Sync>(mut self, config: T) -> Self {
        self.settings.tls = Some(Arc::new(move |builder| builder.tls_backend_preconfigured(config.clone())));
        self
    }

    /// Sets how long a request waits for an endpoint if there is none; 3 s by default.
    ///
    /// With zero, a request fails as soon as the sources have answered and none of them knows an endpoint.
    pub fn endpoint_timeout(mut self, endpoint_timeout: Duration) -> Self {
        self.settings.endpoint_timeout = endpoint_timeout;
        self
    }

    /// Sets how long an endpoint has to begin its answer to an idempotent request, before the request is sent to another
    /// endpoint; no limit by default.
    ///
    /// It protects from pods that hang: they accept connections and never answer. Choose it well above the time of a slow
    /// answer, because the first endpoint may have done the work already.
    ///
    /// The attempt goes on without this limit if the request cannot be sent elsewhere: after three attempts, without
    /// another endpoint, with an exhausted retry budget, or with a body that is a stream.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.settings.attempt_timeout = Some(timeout);
        self
    }

    /// Sets how long an endpoint that has left the set may be silent before its requests go to another endpoint;
    /// [`REMOVED_SILENCE`](discovery_core::policy::retry::REMOVED_SILENCE) by default, which is 1 s. `Duration::MAX` switches
    /// this off.
    ///
    /// This protects requests from nodes that die: connections to a dead node stay open, and nothing arrives on them.
    /// It applies to idempotent requests that wait for the head of their response and whose body is not a stream. An
    /// endpoint is silent while none of its requests receives anything. A request that has no other endpoint to go to,
    /// or no attempt left, keeps waiting, and checks again after the same time.
    pub fn removed_silence(mut self, silence: Duration) -> Self {
        self.settings.removed_silence = silence;
        self
    }

    /// Counts a request as in flight until the head of its response has arrived.
    ///
    /// By default a request is in flight until the body of its response has ended, failed or been dropped, so that streams
    /// count as load, and a body that breaks counts as a failure of its endpoint. Use this for bodies that cost the endpoint
    /// nothing.
    pub fn head_only(mut self) -> Self {
        self.settings.head_only = true;
        self
    }

    /// Keeps a target for this long, or at most a quarter longer, after its last request; 5 min by default.
    ///
    /// A target holds connections, and its name is refreshed in the background. After it was dropped, the next request
    /// resolves the name again, unless an [`Upstream`](discovery_core::Upstream) of your own has kept its endpoints.
    pub fn unused_timeout(mut self, unused: Duration) -> Self {
        self.settings.targets.unused = unused;
        self
    }

    /// Keeps at most this many targets, and at least one; 1024 by default. The least recently used target makes room for a
    /// new one; its requests in flight are not affected.
    pub fn max_targets(mut self, capacity: usize) -> Self {
        self.settings.targets.capacity = capacity;
        self
    }

    /// Ignores the proxies of the environment (`HTTP_PROXY` and others).
    ///
    /// By default hosts are reached through them, as in reqwest, and Services are not: see
    /// [the crate documentation](crate#proxies).
    pub fn no_proxy(mut self) -> Self {
        self.settings.proxies = false;
        self
    }

    /// Stores the cookies of responses and sends them with later requests, to every endpoint of their host.
    ///
    /// A cookie of a Service stays with the name that set it: [the crate documentation](crate#cookies) has the rules.
    ///
    /// Do not use reqwest's own `cookie_store` in [`configure`](Self::configure): it makes one store for each endpoint, and
    /// lets one Service set cookies for others.
    #[cfg(feature = "cookies")]
    pub fn cookie_store(mut self) -> Self {
        let store = Arc::new(ServiceCookies::default());
        self.settings.cookies = Some(Arc::new(move |builder| builder.cookie_provider(store.clone())));
        self
    }

    /// Like [`cookie_store`](Self::cookie_store), with a store of your own. It receives no cookie that a Service sets for
    /// other names. It decides alone which cookies a request carries, so hosts can set cookies for names below them.
    #[cfg(feature = "cookies")]
    pub fn cookie_provider(mut self, store: Arc<impl reqwest::cookie::CookieStore + 'static>) -> Self {
        let store = Arc::new(FilteredCookies::new(store));
        self.settings.cookies = Some(Arc::new(move |builder| builder.cookie_provider(store.clone())));
        self
    }

    /// Builds the client. It sends nothing until the first request.
    ///
    /// # Errors
    /// If `reqwest::ClientBuilder::build` rejects the configuration, which is tried once here.
    pub fn build(mut self) -> Result<Client, Error> {
        let template = self.settings.client(false).build().map_err(Error::client)?;
        self.settings.own_proxy = proxied::has_proxy(&template);
        let proxies = if self.settings.proxies { SystemProxies::read() } else { SystemProxies::none() };
        Ok(Client::assemble(self.resolver, self.settings, proxies, template))
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("endpoint_timeout", &self.settings.endpoint_timeout)
            .finish_non_exhaustive()
    }
}
