//! Sends a call, with retries, over the connections to all URLs of a registry.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use ::url::Url;
use bytes::Bytes;
use discovery_core::{policy::SplitMix64, source::BoxFuture};
use discovery_reqwest::Client;
use http::Response;

use super::{
    Call, Transport,
    endpoint::RegistryEndpoint,
    selector::UrlSelector,
    settings::{BodyLimits, RegistrySettings, Timeouts},
    token::TokenProvider,
    url::RegistryUrl,
};
use crate::{Error, clock::now, entropy::seed};

/// What a request carries besides the call.
pub(super) struct Sender<'a> {
    /// The address that the request names as its sender.
    pub(super) address: Option<&'a str>,
    pub(super) token: Option<&'a TokenProvider>,
    pub(super) timeouts: Timeouts,
    pub(super) limits: BodyLimits,
}

/// The connections to a registry behind one URL or several.
pub(crate) struct Connections {
    settings: RegistrySettings,
    client: Client,
    list: Mutex<UrlList>,
    from: Option<String>,
}

/// The list of URLs as it was read last, and the endpoints that it leads to.
struct UrlList {
    text: String,
    endpoints: Arc<Endpoints>,
}

impl Connections {
    /// # Errors
    /// [`Error::is_config`] if the list of URLs is empty or invalid, or if a token would be sent in plain text.
    pub(crate) fn new(settings: &RegistrySettings) -> Result<Self, Error> {
        settings.limits().check()?;
        let client = settings.connecting_client();
        let text = settings.urls().read()?;
        let endpoints = Arc::new(Endpoints::new(&text, &client, settings.token().is_some(), None)?);
        Ok(Self { settings: settings.clone(), client, list: Mutex::new(UrlList { text, endpoints }), from: None })
    }

    /// Names `address` as the sender of each request.
    pub(crate) fn sending_from(mut self, address: &str) -> Self {
        self.from = Some(address.to_owned());
        self
    }

    /// Returns scheme, host and port of each URL, without credentials.
    pub(crate) fn origins(&self) -> Vec<Url> {
        self.endpoints().all.iter().map(|endpoint| endpoint.url().origin()).collect()
    }

    /// Returns the endpoints of the current list. A list that became invalid is reported once, and the last valid one
    /// stays in use.
    fn endpoints(&self) -> Arc<Endpoints> {
        // Read before the lock is taken: the application provides the list.
        let read = self.settings.urls().read_changed();
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = read
            && text != list.text
        {
            match Endpoints::new(&text, &self.client, self.settings.token().is_some(), Some(&list.endpoints)) {
                Ok(endpoints) => {
                    tracing::info!(urls = ?endpoints, "the list of registry URLs changed");
                    list.endpoints = Arc::new(endpoints);
                }
                Err(error) => tracing::warn!(%error, "invalid list of registry URLs, keeping the last valid one"),
            }
            list.text = text;
        }
        list.endpoints.clone()
    }
}

impl Transport for Connections {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Response<Bytes>, Error>> {
        Box::pin(async move {
            let sender = Sender {
                address: self.from.as_deref(),
                token: self.settings.token(),
                timeouts: self.settings.timeouts(),
                limits: self.settings.limits(),
            };
            self.endpoints().send(&call, &sender).await
        })
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).endpoints.fmt(f)
    }
}

/// The endpoints of one list of URLs.
struct Endpoints {
    all: Vec<Arc<RegistryEndpoint>>,
    selector: Mutex<UrlSelector>,
}

impl Endpoints {
    /// A URL that was in the list `before` keeps its connections.
    ///
    /// # Errors
    /// [`Error::is_config`] if the list is empty or invalid, or if a token would be sent in plain text.
    fn new(text: &str, client: &Client, has_token: bool, before: Option<&Self>) -> Result<Self, Error> {
        let known = |url: &RegistryUrl| before?.all.iter().find(|endpoint| endpoint.url() == url).cloned();
        let urls = RegistryUrl::parse_list(text)?;
        if let Some(url) = urls.iter().find(|url| has_token && url.is_exposed()) {
            return Err(Error::config(format!(
                "the bearer token would be sent in plain text to registry `{url}`: write `https://`, or leave out the \
                 token; only a proxy on this machine, such as http://127.0.0.1:8761/eureka, may be reached by `http://`"
            )));
        }
        let all: Vec<_> = urls
            .into_iter()
            .map(|url| known(&url).unwrap_or_else(|| Arc::new(RegistryEndpoint::new(url, client))))
            .collect();
        let selector = Mutex::new(UrlSelector::new(all.len(), SplitMix64::with_seed(seed())));
        Ok(Self { all, selector })
    }

    async fn send(&self, call: &Call, sender: &Sender<'_>) -> Result<Response<Bytes>, Error> {
        let (candidates, session_over) = self.select(|selector| selector.candidates(now()));
        if session_over {
            self.all.iter().for_each(|endpoint| endpoint.reconnect());
        }
        let mut last = None;
        for index in candidates {
            let Some(endpoint) = self.all.get(index) else { continue };
            let connections = endpoint.connections();
            let error = match endpoint.send(&connections, call, sender).await {
                Ok(response) => {
                    let status = response.status().as_u16();
                    if call.is_answered_by(status) {
                        self.select(|selector| selector.record_success(index));
                        return Ok(response);
                    }
                    let error = call.rejection(&response, format_args!("registry {}", endpoint.url()));
                    if self.all.len() == 1 && status < 500 {
                        return Err(error);
                    }
                    error
                }
                // No other URL can make up for a missing token.
                Err(error) if error.is_token() => return Err(error),
                Err(error) => error,
            };
            tracing::debug!(registry = %endpoint.url(), %call, %error, "request to the registry failed");
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

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all.iter().map(|endpoint| endpoint.url())).finish()
    }
}
