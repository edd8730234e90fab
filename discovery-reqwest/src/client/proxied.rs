//! Proxies of the environment (`HTTP_PROXY` and others), for hosts and not for Services.

use std::sync::{Arc, OnceLock};

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{Request, Response, Url};

use super::{builder::Settings, in_flight::without_user_info};
use crate::{Error, error::Note};

/// The proxies of the environment, as reqwest reads them: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`.
#[derive(Clone)]
pub(super) struct SystemProxies(Option<Arc<Matcher>>);

impl SystemProxies {
    pub(super) fn read() -> Self {
        Self(Some(Arc::new(Matcher::from_system())))
    }

    pub(super) fn none() -> Self {
        Self(None)
    }

    /// Whether a plain client would send requests for `url` through a proxy.
    pub(super) fn apply_to(&self, url: &Url) -> bool {
        let intercepts = |matcher: &Arc<Matcher>| {
            let uri: Result<Uri, _> = url.as_str().parse();
            uri.is_ok_and(|uri| matcher.intercept(&uri).is_some())
        };
        self.0.as_ref().is_some_and(intercepts)
    }
}

/// A target whose requests go through a proxy.
pub(super) struct Proxied {
    settings: Settings,
    /// Resolves nothing: the proxy receives the name.
    client: OnceLock<reqwest::Client>,
}

impl Proxied {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { settings: settings.clone(), client: OnceLock::new() }
    }

    /// Sends a request through the proxy.
    pub(super) async fn send(&self, request: Request) -> Result<Response, Error> {
        let client = match self.client.get() {
            Some(client) => client,
            None => {
                let made = self.settings.client(true).build().map_err(Error::client)?;
                self.client.get_or_init(|| made)
            }
        };
        let response = client.execute(request).await;
        response.map(without_user_info).map_err(|error| Error::request(error, 1).with_note(Note::Proxy))
    }
}

/// Whether a client that does not use the proxies of the environment has one. reqwest shows it only in its `Debug`; a
/// test compares.
pub(super) fn has_proxy(client: &reqwest::Client) -> bool {
    format!("{client:?}").contains("proxies: ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_whether_a_client_has_a_proxy() {
        let proxy = reqwest::Proxy::all("http://127.0.0.1:3128").unwrap();
        let builder = || reqwest::Client::builder().no_proxy();
        assert!(!has_proxy(&builder().build().unwrap()));
        assert!(has_proxy(&builder().proxy(proxy).build().unwrap()));
    }
}
