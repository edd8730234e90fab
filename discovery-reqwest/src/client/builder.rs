//! How a client is configured.

use std::{fmt, sync::Arc, time::Duration};

use discovery_core::Resolver;

use super::{Client, proxied::SystemProxies, sent};
use crate::{DiscoveryResolver, Error};

/// How long a request waits for an endpoint when there is none, unless set otherwise: a rolling restart of a
/// single pod passes unseen, an outage is told within the endpoint_timeout of a caller.
const ENDPOINT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long connecting may take, unless set otherwise in [`ClientBuilder::configure`]. A node that disappears does
/// not refuse connections; the kernel would try for two minutes. Within 3 s the first packet is sent three times.
const CONNECT: Duration = Duration::from_secs(3);

type Configure = Arc<dyn Fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder + Send + Sync>;

/// Configures a [`Client`].
#[must_use = "call `build`"]
pub struct ClientBuilder {
    resolver: Resolver,
    settings: Settings,
}

/// What the clients of all endpoints have in common.
#[derive(Clone)]
pub(super) struct Settings {
    configure: Configure,
    tls: Option<Configure>,
    cookies: Option<Configure>,
    dns: DiscoveryResolver,
    /// The system's proxies may be used.
    proxies: bool,
    pub(super) endpoint_timeout: Duration,
    pub(super) attempt_timeout: Option<Duration>,
}

impl Settings {
    /// The builder of one endpoint's client. It sends nothing again by itself: that would be to the same endpoint,
    /// beside the budget, and takes a copy of each request.
    pub(super) fn endpoint(&self, proxies: bool) -> reqwest::ClientBuilder {
        let builder = reqwest::Client::builder();
        // Without our feature the application may have HTTP/2 all the same, and we could not tell what was refused.
        #[cfg(feature = "http2")]
        let builder = builder.retry(reqwest::retry::never().max_retries_per_request(0));
        self.configured(builder, proxies)
    }

    /// The builder of a client that is not an endpoint's.
    pub(super) fn client(&self, proxies: bool) -> reqwest::ClientBuilder {
        self.configured(reqwest::Client::builder(), proxies)
    }

    /// With the system's proxies where `proxies` says so and nobody has switched them off. Hosts that a redirect leads
    /// to are resolved in the same way.
    fn configured(&self, builder: reqwest::ClientBuilder, proxies: bool) -> reqwest::ClientBuilder {
        let ours = builder.dns_resolver(self.dns.clone()).connect_timeout(CONNECT);
        let ours = if proxies && self.proxies { ours } else { ours.no_proxy() };
        let builder = (self.configure)(sent::watch_redirects(ours));
        let more = [&self.tls, &self.cookies];
        more.into_iter().flatten().fold(builder, |builder, set| set(builder))
    }
}

impl ClientBuilder {
    pub(super) fn new(resolver: Resolver) -> Self {
        let dns = DiscoveryResolver::new(resolver.clone());
        Self {
            resolver,
            settings: Settings {
                configure: Arc::new(|builder| builder),
                tls: None,
                cookies: None,
                dns,
                proxies: true,
                endpoint_timeout: ENDPOINT_TIMEOUT,
                attempt_timeout: None,
            },
        }
    }

    /// Configures the `reqwest::Client` of every endpoint; it is called once for each. It begins with a limit of
    /// 3 s to connecting, with reqwest's own redirect policy, and for endpoints, with the feature `http2`, without
    /// reqwest's retries, which would go to the same endpoint: the client's own go to another one. With another redirect policy, a request that has been redirected
    /// and then finds no connection may be sent to another endpoint.
    pub fn configure(
        mut self,
        configure: impl Fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder + Send + Sync + 'static,
    ) -> Self {
        self.settings.configure = Arc::new(configure);
        self
    }

    /// Gives one TLS configuration to the clients of all endpoints: what
    /// `reqwest::ClientBuilder::tls_backend_preconfigured` takes, such as a `rustls::ClientConfig` of the
    /// version that reqwest uses. Without it each endpoint's client builds a configuration of its own, which
    /// takes about two milliseconds. Settings of single certificates in [`configure`](Self::configure) have no
    /// effect beside it.
    #[cfg(feature = "rustls")]
    pub fn tls<T: std::any::Any + Clone + Send + Sync>(mut self, config: T) -> Self {
        self.settings.tls = Some(Arc::new(move |builder| builder.tls_backend_preconfigured(config.clone())));
        self
    }

    /// Sets how long a request waits for an endpoint when there is none; 3 s by default. With zero it fails as
    /// soon as it is known that there is none: at once, but for the first answer of the sources.
    pub fn endpoint_timeout(mut self, endpoint_timeout: Duration) -> Self {
        self.settings.endpoint_timeout = endpoint_timeout;
        self
    }

    /// Sets how long one endpoint has to begin its answer to an idempotent request before another endpoint is asked
    /// instead; no limit by default. It is for pods that hang: they take connections and never answer. Choose it well
    /// above what a slow answer takes, because the first endpoint may have done its work already. Where no other
    /// endpoint may be asked (three have been, there is none, the budget of retries is spent, the body is a stream), the
    /// last one has as long as the request has.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.settings.attempt_timeout = Some(timeout);
        self
    }

    /// Leaves the system's proxies (`HTTP_PROXY` and the like) alone. Without it they are used for hosts as in
    /// reqwest, and never for Services: see [the crate's page](crate#proxies).
    pub fn no_proxy(mut self) -> Self {
        self.settings.proxies = false;
        self
    }

    /// Keeps the cookies that responses set and sends them with later requests, to whichever endpoint they go. One
    /// that reqwest's own `cookie_store` makes in [`configure`](Self::configure) is each endpoint's own, and of no use.
    #[cfg(feature = "cookies")]
    pub fn cookie_store(self) -> Self {
        self.cookie_provider(Arc::new(reqwest::cookie::Jar::default()))
    }

    /// As [`cookie_store`](Self::cookie_store), with a store of the application's own.
    #[cfg(feature = "cookies")]
    pub fn cookie_provider(mut self, store: Arc<impl reqwest::cookie::CookieStore + 'static>) -> Self {
        self.settings.cookies = Some(Arc::new(move |builder| builder.cookie_provider(store.clone())));
        self
    }

    /// Makes the client. Nothing is asked or connected yet.
    ///
    /// # Errors
    /// What `reqwest::ClientBuilder::build` says of the configuration, tried once here.
    pub fn build(self) -> Result<Client, Error> {
        let template = self.settings.client(true).build().map_err(|error| Error::request(error, 0))?;
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
