//! One URL of a registry, and the connections to it.

use std::sync::{Arc, Mutex, PoisonError};

use discovery_core::{Upstream, name::Target};
use http::header;

use super::{Answer, Call, answer::Unread, url::RegistryUrl};
use crate::Error;
use discovery_reqwest::Client;

/// One URL, and the connections that are kept to it.
pub(super) struct Link {
    url: RegistryUrl,
    connections: Mutex<Arc<Client>>,
    /// Held, so that what is known of the name outlives the connections.
    upstream: Mutex<Option<Upstream>>,
}

impl Link {
    pub(super) fn new(url: RegistryUrl, client: &Client) -> Self {
        let connections = Mutex::new(Arc::new(client.with_new_connections()));
        Self { url, connections, upstream: Mutex::new(None) }
    }

    pub(super) fn url(&self) -> &RegistryUrl {
        &self.url
    }

    /// The connections as they are now.
    pub(super) fn connections(&self) -> Arc<Client> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Leaves all connections to those who still use them.
    pub(super) fn renew(&self) {
        let mut current = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(current.with_new_connections());
    }

    /// As `renew`, unless another call that failed has done so already.
    pub(super) fn renew_after(&self, failed: &Arc<Client>) {
        let mut current = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&current, failed) {
            *current = Arc::new(current.with_new_connections());
        }
    }

    pub(super) async fn send(&self, client: &Client, call: &Call, from: Option<&str>) -> Result<Answer, Error> {
        self.hold(client);
        let url = self.url.at(&call.path, &call.query);
        let mut request = client
            .request(call.method.clone(), url)
            // Anything without `json` in it gets XML.
            .header(header::ACCEPT, "application/json")
            // The name is among those that a server's rate limiter lets pass.
            .header("DiscoveryIdentity-Name", "DefaultClient")
            .header("DiscoveryIdentity-Version", "1.4");
        if let Some(from) = from {
            request = request.header("DiscoveryIdentity-Id", from);
        }
        if call.takes_gzip() {
            request = request.header(header::ACCEPT_ENCODING, "gzip");
        }
        if let Some(body) = &call.body {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body.clone());
        }
        let exchange = async {
            let response = request
                .send()
                .await
                .map_err(|error| Error::broken(format!("{} could not be asked for {call}", self.url), error))?;
            Answer::read(response).await.map_err(|unread| self.unread(call, unread))
        };
        match tokio::time::timeout(call.timeout(), exchange).await {
            Ok(result) => result,
            Err(_) => {
                let text = format!("{} did not answer {call} within {:?}", self.url, call.timeout());
                Err(Error::unreachable(text))
            }
        }
    }

    fn hold(&self, client: &Client) {
        let mut upstream = self.upstream.lock().unwrap_or_else(PoisonError::into_inner);
        if upstream.is_none() {
            // Where that fails, the request will, and says why.
            *upstream = Target::from_url(&self.url.origin()).ok().and_then(|t| client.resolver().upstream(t).ok());
        }
    }

    fn unread(&self, call: &Call, unread: Unread) -> Error {
        let what = format!("the answer of {} to {call}", self.url);
        match unread {
            Unread::Broken(error) => Error::broken(format!("{what} broke off"), error),
            Unread::Unpacked(error) => Error::unreadable(format!("{what} is not gzip: {error}")),
            Unread::Left(error) => error,
            Unread::TooLong => Error::unreadable(format!("{what} is too long")),
        }
    }
}
