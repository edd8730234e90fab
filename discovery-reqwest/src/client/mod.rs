//! The client.

mod builder;
mod endpoints;
mod proxied;
mod route;
pub(crate) mod send;
mod sent;
mod spare;
mod tried;

use std::{fmt, sync::Arc};

use discovery_core::{Resolver, name::Target};
use http::{Method, header};
use reqwest::{IntoUrl, Request, Response, Url};
use url::Position;

pub use self::{builder::ClientBuilder, tried::ResponseExt};
use self::{builder::Settings, proxied::SystemProxies, route::Route};

use crate::{Error, RequestBuilder, kept::Kept};

/// Sends each request to an endpoint that is picked for it. Cheap to clone; clones share all connections.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    resolver: Resolver,
    settings: Settings,
    proxies: SystemProxies,
    /// Builds requests; it sends none.
    template: reqwest::Client,
    routes: Kept<Arc<Route>>,
}

impl Client {
    /// A client on `resolver`, with the settings of [`reqwest::Client::new`].
    ///
    /// # Panics
    /// As [`reqwest::Client::new`]: when the TLS backend that the application compiled in cannot be
    /// initialized. [`Client::builder`] returns it as an error.
    #[must_use]
    pub fn new(resolver: Resolver) -> Self {
        Self::builder(resolver).build().unwrap_or_else(|error| panic!("{error}: {:?}", error.as_reqwest()))
    }

    /// A client to be configured.
    pub fn builder(resolver: Resolver) -> ClientBuilder {
        ClientBuilder::new(resolver)
    }

    fn assemble(resolver: Resolver, settings: Settings, proxies: SystemProxies, template: reqwest::Client) -> Self {
        Self(Arc::new(Inner { resolver, settings, proxies, template, routes: Kept::new(now()) }))
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

    /// Sends a request to an endpoint of its target. When no connection comes about, or the connection breaks
    /// before a response and the method is idempotent (RFC 9110: GET, HEAD, OPTIONS, TRACE, PUT, DELETE), the
    /// request goes to an endpoint not yet tried, three at most, within the target's
    /// [`RetryBudget`](discovery_core::policy::RetryBudget). So does, with the feature `http2`, any request that an
    /// endpoint has refused before it began with it; where there is no other endpoint, to the same one again. The
    /// first such refusal of a request takes nothing from the budget. The response tells how many endpoints it took:
    /// [`ResponseExt::endpoints_tried`](crate::ResponseExt::endpoints_tried).
    ///
    /// # Errors
    /// When the URL's host is no valid name, when there is no endpoint within the client's endpoint_timeout, or when
    /// the last endpoint that was tried failed the request. An HTTP error status is a response, not an error.
    ///
    /// # Cancel safety
    /// Dropping the future takes the request out of flight; whether the endpoint has seen it is not known.
    pub async fn execute(&self, request: Request) -> Result<Response, Error> {
        send::send(self, move || Ok(request)).await
    }

    /// The route of a request, whose credentials go where they belong.
    fn route(&self, request: &mut Request) -> Result<Arc<Route>, Error> {
        let routes = &self.0.routes;
        // Nothing is kept for an origin with credentials in it, so that they need not be looked for first.
        if let Some(route) = routes.get(origin(request.url())) {
            return Ok(route);
        }
        self.hide_credentials(request);
        let url = request.url();
        routes.get_or_try_insert(origin(url), now, || {
            let target = Target::from_url(url).map_err(discovery_core::Error::from)?;
            let proxied = self.0.proxies.stand_before(url);
            Route::new(&self.0.resolver, &target, &self.0.settings, proxied).map(Arc::new)
        })
    }

    /// Moves user and password from the URL, which errors show, to the header, as the request builder does.
    fn hide_credentials(&self, request: &mut Request) {
        let url = request.url();
        if url.username().is_empty() && url.password().is_none() {
            return;
        }
        if let Ok(built) = self.0.template.get(url.clone()).build()
            && let Some(credentials) = built.headers().get(header::AUTHORIZATION)
        {
            request.headers_mut().entry(header::AUTHORIZATION).or_insert(credentials.clone());
        }
        // Those that are no UTF-8 are not sent, as by the builder, and do not stay here either.
        let _ = request.url_mut().set_username("");
        let _ = request.url_mut().set_password(None);
    }

    /// A client with the same resolver and settings, and connection pools of its own.
    ///
    /// Its requests open new connections; those of this client stay open for the requests that use them. Take it to
    /// leave a connection that leads to a dead backend of a virtual IP: kube-proxy chooses anew for each connection.
    #[must_use]
    pub fn with_new_connections(&self) -> Self {
        let Inner { resolver, settings, proxies, template, .. } = &*self.0;
        Self::assemble(resolver.clone(), settings.clone(), proxies.clone(), template.clone())
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

/// What decides where a request goes, and stands in the URL as it is.
fn origin(url: &Url) -> &str {
    &url[..Position::BeforePath]
}

/// The clock, through tokio so that a test that pauses time drives everything.
pub(crate) fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}
