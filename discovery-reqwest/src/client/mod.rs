//! The HTTP client.

mod attempt;
mod builder;
mod connector;
mod connects;
mod endpoint_port;
mod endpoints;
mod in_flight;
mod proxied;
mod route;
pub(crate) mod send;

use std::{fmt, sync::Arc, time::Duration};

use discovery_core::{Resolver, name::Target};
use http::{Method, header};
use reqwest::{IntoUrl, Request, Response, Url};
use url::Position;

pub use self::builder::ClientBuilder;
use self::{builder::Settings, proxied::SystemProxies, route::Route};

use crate::{
    Error, RequestBuilder,
    cache::Cache,
    error::{has_user_info, hide_user_info},
};

/// An HTTP client that picks an endpoint for each request. Cloning it is cheap, and clones share all connections.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    resolver: Resolver,
    settings: Settings,
    proxies: SystemProxies,
    /// Builds requests and sends none.
    template: reqwest::Client,
    routes: Cache<Arc<Route>>,
}

impl Client {
    /// Creates a client on `resolver`, with the settings of [`reqwest::Client::new`].
    ///
    /// # Panics
    /// Like [`reqwest::Client::new`], if the TLS backend that the application compiled in cannot be initialized. Use
    /// [`Client::builder`] to get an error instead.
    #[must_use]
    pub fn new(resolver: Resolver) -> Self {
        Self::builder(resolver).build().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Creates a builder to configure a client.
    pub fn builder(resolver: Resolver) -> ClientBuilder {
        ClientBuilder::new(resolver)
    }

    fn assemble(resolver: Resolver, settings: Settings, proxies: SystemProxies, template: reqwest::Client) -> Self {
        let routes = Cache::new(settings.targets(), now());
        Self(Arc::new(Inner { resolver, settings, proxies, template, routes }))
    }

    /// Begins a request with any method.
    pub fn request(&self, method: Method, url: impl IntoUrl) -> RequestBuilder {
        RequestBuilder::new(self.clone(), self.0.template.request(method, url))
    }

    /// Begins a GET request.
    pub fn get(&self, url: impl IntoUrl) -> RequestBuilder {
        self.request(Method::GET, url)
    }

    /// Begins a POST request.
    pub fn post(&self, url: impl IntoUrl) -> RequestBuilder {
        self.request(Method::POST, url)
    }

    /// Begins a PUT request.
    pub fn put(&self, url: impl IntoUrl) -> RequestBuilder {
        self.request(Method::PUT, url)
    }

    /// Begins a PATCH request.
    pub fn patch(&self, url: impl IntoUrl) -> RequestBuilder {
        self.request(Method::PATCH, url)
    }

    /// Begins a DELETE request.
    pub fn delete(&self, url: impl IntoUrl) -> RequestBuilder {
        self.request(Method::DELETE, url)
    }

    /// Begins a HEAD request.
    pub fn head(&self, url: impl IntoUrl) -> RequestBuilder {
        self.request(Method::HEAD, url)
    }

    /// Sends a request to an endpoint of its target, and retries it where that is safe.
    ///
    /// | failure | retried |
    /// |---|---|
    /// | the connection could not be established, or takes too long (250 ms, or three times as long as usual) | every request |
    /// | an HTTP/2 server refused the request before processing it (`REFUSED_STREAM`, `GOAWAY` with `NO_ERROR`; feature `http2`) | every request, on the same endpoint if there is no other |
    /// | the connection broke before a response, or did not answer an HTTP/2 ping in time | idempotent methods (RFC 9110: GET, HEAD, OPTIONS, TRACE, PUT, DELETE) |
    /// | the endpoint has left the set and has been silent for [`ClientBuilder::removed_silence`] | idempotent methods |
    /// | no answer within [`ClientBuilder::attempt_timeout`] | idempotent methods |
    ///
    /// A request makes at most three attempts, and retries are paid from the
    /// [`RetryBudget`](discovery_core::policy::RetryBudget) of the target. A body that is a stream is sent once.
    /// [`ResponseExt::endpoints_tried`](crate::ResponseExt::endpoints_tried) returns the number of endpoints that the
    /// request was sent to.
    ///
    /// # Errors
    /// If the host of the URL is not a valid name, if no endpoint was found within
    /// [`ClientBuilder::endpoint_timeout`], or if the last attempt failed. An HTTP error status is a response, not an error.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the request; the endpoint may have seen it.
    pub async fn execute(&self, request: Request) -> Result<Response, Error> {
        send::send(self, move || Ok(request)).await
    }

    fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The route of requests for `url`, which holds no credentials.
    fn route(&self, url: &Url) -> Result<Arc<Route>, Error> {
        self.0.routes.get_or_try_insert(origin(url), now, || {
            let target = Target::from_url(url).map_err(discovery_core::Error::from)?;
            let proxied = self.0.proxies.apply_to(url);
            Route::new(&self.0.resolver, &target, &self.0.settings, proxied).map(Arc::new)
        })
    }

    /// Moves user and password from the URL, which errors show, to the `Authorization` header, as the request builder
    /// does.
    fn hide_credentials(&self, request: &mut Request) {
        if !has_user_info(request.url()) {
            return;
        }
        let url = request.url();
        if let Ok(built) = self.0.template.get(url.clone()).build()
            && let Some(credentials) = built.headers().get(header::AUTHORIZATION)
        {
            request.headers_mut().entry(header::AUTHORIZATION).or_insert(credentials.clone());
        }
        // Credentials that are not UTF-8 are not sent, as by the builder, and must not stay in the URL either.
        hide_user_info(request.url_mut());
    }

    /// Creates a client with the same resolver and settings, and with connection pools of its own.
    ///
    /// Its requests open new connections, and those of this client stay open for the requests that use them. Use it to get
    /// away from a connection to a dead backend of a virtual IP: kube-proxy chooses a backend for each new connection.
    #[must_use]
    pub fn with_new_connections(&self) -> Self {
        let Inner { resolver, settings, proxies, template, .. } = &*self.0;
        Self::assemble(resolver.clone(), settings.clone(), proxies.clone(), template.clone())
    }

    /// Creates a client with the same resolver and settings but for this connect timeout, and with connection pools of its
    /// own. It replaces the timeout that [`ClientBuilder::configure`] set. Above 0: with 0 no connection is established.
    #[must_use]
    pub fn with_connect_timeout(&self, timeout: Duration) -> Self {
        let Inner { resolver, settings, proxies, template, .. } = &*self.0;
        let settings = settings.with_connect_timeout(timeout);
        Self::assemble(resolver.clone(), settings, proxies.clone(), template.clone())
    }

    /// The resolver.
    #[must_use]
    pub fn resolver(&self) -> &Resolver {
        &self.0.resolver
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("resolver", &self.0.resolver).finish_non_exhaustive()
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The part of the URL that decides where a request goes.
fn origin(url: &Url) -> &str {
    &url[..Position::BeforePath]
}

/// Reads the clock through tokio, so that a test that pauses time drives everything.
pub(crate) fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}
