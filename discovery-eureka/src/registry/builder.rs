//! The public settings of a registry.

use std::{error::Error as StdError, future::Future, sync::Arc, time::Duration};

use discovery_reqwest::Client;

use super::{Connections, Registry, RegistrySettings, settings::UrlSource, token::TokenProvider};
use crate::Error;

/// Configures a [`Registry`].
#[must_use = "call `build`"]
#[derive(Clone, Debug)]
pub struct RegistryBuilder {
    settings: RegistrySettings,
}

impl RegistryBuilder {
    pub(super) fn new(client: &Client, urls: String) -> Self {
        Self { settings: RegistrySettings::of(client, urls) }
    }

    /// Sets the URLs of the registry: one, or several separated by commas, in order of preference.
    pub fn urls(mut self, urls: impl Into<String>) -> Self {
        self.settings.set_urls(UrlSource::Fixed(urls.into()));
        self
    }

    /// Uses the list of URLs that `list` returns, in the form of [`urls`](Self::urls). It is called before each request,
    /// so it must return at once: read a value that another task changes, such as `receiver.borrow().clone()` of a
    /// `tokio::sync::watch` channel.
    ///
    /// A URL that stays in the list keeps its connections. If the list becomes empty or invalid, a warning says so and
    /// the last valid list stays in use.
    pub fn urls_from(mut self, list: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.settings.set_urls(UrlSource::Changing(Arc::new(list)));
        self
    }

    /// Sends `Authorization: Bearer ` and the token that `token` returns, instead of the user and password of a URL.
    ///
    /// `token` is called for each request, within the timeout of the request, and once more if the registry responds
    /// with 401: a token that differs from the first one is tried at once. Return a token that is valid now, such as
    /// the content of a file that Kubernetes rotates, and cache a token that is expensive to get. White space around
    /// the token is ignored. An `http` URL of another machine is an error, because it would show the token. Tokens
    /// never appear in errors, logs or `Debug`.
    pub fn bearer_token<F, E>(mut self, token: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        self.settings.set_token(TokenProvider::new(token));
        self
    }

    /// Sets how long one attempt of a request may take, from resolving the registry to the end of the response; 8 s by
    /// default, the Java client's read timeout. Above 0. A request makes two attempts with one URL, and at most three
    /// with several URLs.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeouts_mut().request = timeout;
        self
    }

    /// Sets how long one attempt of the deregistration may take; 2 s by default, because a terminating pod cannot wait
    /// for a registry that hangs. Above 0.
    pub fn deregister_timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeouts_mut().deregister = timeout;
        self
    }

    /// Sets how long connecting to one address of the registry may take; by default the connect timeout of the client,
    /// which is 3 s unless it was configured otherwise. Above 0. The request timeout includes it.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeouts_mut().connect = Some(timeout);
        self
    }

    /// Sets how many bytes of plain text a response of the registry may have; 64 MiB by default, which holds about
    /// 40 000 instances. Above 0. A larger response counts as a failed request.
    pub fn max_response_size(mut self, bytes: usize) -> Self {
        self.settings.set_max_response_size(bytes);
        self
    }

    /// Sets how many bytes of plain text a byte of gzip may become; 100 by default. Above 0. A response of up to 1 MiB
    /// of plain text may be compressed by any ratio.
    pub fn max_compression_ratio(mut self, ratio: u32) -> Self {
        self.settings.set_max_compression_ratio(ratio);
        self
    }

    /// Sets how many instances a registry may list; 200 000 by default. Above 0. They may have eight VIPs and metadata
    /// entries on average. A response with more counts as a failed request.
    pub fn max_instances(mut self, instances: usize) -> Self {
        self.settings.set_max_instances(instances);
        self
    }

    /// Checks the settings. Sends no request.
    ///
    /// # Errors
    /// [`Error::is_config`] if no URL is set, a URL is invalid, or a timeout or limit is 0,
    /// or if a token is set and a URL is an `http` URL of another machine.
    pub fn build(self) -> Result<Registry, Error> {
        self.settings.timeouts().check()?;
        let connections = Connections::new(&self.settings)?;
        Ok(Registry::from_parts(self.settings, connections))
    }
}
