//! One URL of a registry, and the connections to it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use discovery_core::{Upstream, name::Target};
use discovery_reqwest::Client;
use http::Response;

use super::{call::Call, connections::Sender, url::RegistryUrl};
use crate::Error;

/// One URL and the connections to it.
pub(super) struct RegistryEndpoint {
    url: RegistryUrl,
    connections: Mutex<Arc<Client>>,
    /// Keeps the resolved name when the connections are replaced.
    upstream: Mutex<Option<Upstream>>,
}

impl RegistryEndpoint {
    pub(super) fn new(url: RegistryUrl, client: &Client) -> Self {
        let connections = Mutex::new(Arc::new(client.with_new_connections()));
        Self { url, connections, upstream: Mutex::new(None) }
    }

    pub(super) fn url(&self) -> &RegistryUrl {
        &self.url
    }

    /// Returns the current connections.
    pub(super) fn connections(&self) -> Arc<Client> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Uses new connections from the next call on. Calls in flight keep theirs.
    pub(super) fn reconnect(&self) {
        let mut current = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(current.with_new_connections());
    }

    /// The same as `reconnect`, unless another failed call replaced these connections already.
    pub(super) fn reconnect_after(&self, failed: &Arc<Client>) {
        let mut current = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&current, failed) {
            *current = Arc::new(current.with_new_connections());
        }
    }

    pub(super) async fn send(
        &self,
        client: &Client,
        call: &Call,
        sender: &Sender<'_>,
    ) -> Result<Response<Bytes>, Error> {
        self.keep_upstream(client);
        call.send(client, &self.url, sender).await
    }

    fn keep_upstream(&self, client: &Client) {
        let mut upstream = self.upstream.lock().unwrap_or_else(PoisonError::into_inner);
        if upstream.is_none() {
            // If this fails, the request fails as well and reports the reason.
            *upstream = Target::from_url(&self.url.origin()).ok().and_then(|t| client.resolver().upstream(t).ok());
        }
    }
}
