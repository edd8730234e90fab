//! HTTP to a registry: one URL or several, and retries when a registry does not respond.
//!
//! | module | content |
//! |---|---|
//! | `call` | one request, and which responses count as an answer |
//! | `selector` | which URL is used next; pure |
//! | `url` | a registry URL, whose credentials are never shown |

mod call;
mod selector;
mod url;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use ::url::Url;
use bytes::Bytes;
use discovery_core::{Upstream, name::Target, policy::SplitMix64, source::BoxFuture};
use discovery_reqwest::Client;
use http::Response;

pub(crate) use self::call::{Call, off_thread};
use self::{selector::UrlSelector, url::RegistryUrl};
use crate::{Error, clock::now};

/// Sends calls: to a registry, or to a test's script.
pub(crate) trait Transport: Send + Sync + fmt::Debug + 'static {
    /// Sends one call, retries included. The future resolves within a bounded time.
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Response<Bytes>, Error>>;
}

/// A registry behind one URL or several.
pub(crate) struct Registry {
    endpoints: Vec<RegistryEndpoint>,
    selector: Mutex<UrlSelector>,
    /// The address that requests name as their sender.
    from: Option<String>,
}

impl Registry {
    /// `urls` is one URL, or several separated by commas as in Spring's `defaultZone`.
    pub(crate) fn new(client: &Client, urls: &str, seed: u64) -> Result<Self, Error> {
        let urls = RegistryUrl::parse_list(urls)?;
        let endpoints: Vec<_> = urls.into_iter().map(|url| RegistryEndpoint::new(url, client)).collect();
        let selector = Mutex::new(UrlSelector::new(endpoints.len(), SplitMix64::with_seed(seed)));
        Ok(Self { endpoints, selector, from: None })
    }

    /// Names `address` as the sender of each request.
    pub(crate) fn sending_from(mut self, address: &str) -> Self {
        self.from = Some(address.to_owned());
        self
    }

    /// Returns scheme, host and port of each URL, without credentials.
    pub(crate) fn origins(&self) -> impl Iterator<Item = Url> {
        self.endpoints.iter().map(|endpoint| endpoint.url.origin())
    }

    async fn send_with_retries(&self, call: &Call) -> Result<Response<Bytes>, Error> {
        let (candidates, session_over) = self.select(|selector| selector.candidates(now()));
        if session_over {
            self.endpoints.iter().for_each(RegistryEndpoint::reconnect);
        }
        let mut last = None;
        for index in candidates {
            let Some(endpoint) = self.endpoints.get(index) else { continue };
            let connections = endpoint.connections();
            let error = match endpoint.send(&connections, call, self.from.as_deref()).await {
                Ok(response) => {
                    let status = response.status().as_u16();
                    if call.is_answered_by(status) {
                        self.select(|selector| selector.record_success(index));
                        return Ok(response);
                    }
                    let error = call.rejection(&response, format_args!("registry {}", endpoint.url));
                    if self.endpoints.len() == 1 && status < 500 {
                        return Err(error);
                    }
                    error
                }
                Err(error) => error,
            };
            tracing::debug!(registry = %endpoint.url, %call, %error, "request to the registry failed");
            // The next request to this URL opens a new connection, which a Service may route to another registry.
            endpoint.reconnect_after(&connections);
            self.select(|selector| selector.record_failure(index));
            last = Some(error);
        }
        Err(last.unwrap_or_else(|| Error::config("no registry URL: pass one such as http://eureka:8761/eureka")))
    }

    fn select<T>(&self, act: impl FnOnce(&mut UrlSelector) -> T) -> T {
        act(&mut self.selector.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Transport for Registry {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Response<Bytes>, Error>> {
        Box::pin(async move { self.send_with_retries(&call).await })
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.endpoints.iter().map(|endpoint| &endpoint.url)).finish()
    }
}

/// One URL and the connections to it.
struct RegistryEndpoint {
    url: RegistryUrl,
    connections: Mutex<Arc<Client>>,
    /// Keeps the resolved name when the connections are replaced.
    upstream: Mutex<Option<Upstream>>,
}

impl RegistryEndpoint {
    fn new(url: RegistryUrl, client: &Client) -> Self {
        let connections = Mutex::new(Arc::new(client.with_new_connections()));
        Self { url, connections, upstream: Mutex::new(None) }
    }

    /// Returns the current connections.
    fn connections(&self) -> Arc<Client> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Uses new connections from the next call on. Calls in flight keep theirs.
    fn reconnect(&self) {
        let mut current = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(current.with_new_connections());
    }

    /// The same as `reconnect`, unless another failed call replaced these connections already.
    fn reconnect_after(&self, failed: &Arc<Client>) {
        let mut current = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&current, failed) {
            *current = Arc::new(current.with_new_connections());
        }
    }

    async fn send(&self, client: &Client, call: &Call, from: Option<&str>) -> Result<Response<Bytes>, Error> {
        self.keep_upstream(client);
        call.send(client, &self.url, from).await
    }

    fn keep_upstream(&self, client: &Client) {
        let mut upstream = self.upstream.lock().unwrap_or_else(PoisonError::into_inner);
        if upstream.is_none() {
            // If this fails, the request fails as well and reports the reason.
            *upstream = Target::from_url(&self.url.origin()).ok().and_then(|t| client.resolver().upstream(t).ok());
        }
    }
}
