//! One endpoint with its load.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Load, Reachability};
use crate::endpoint::{Endpoint, Identity};

/// Endpoints with their loads, in the order of their set.
pub type LoadedEndpoints = Arc<[Arc<LoadedEndpoint>]>;

/// One endpoint, its load, and the listener for its connect errors.
#[derive(Debug)]
pub struct LoadedEndpoint {
    load: Arc<Load>,
    endpoint: Endpoint,
    listener: Option<Arc<dyn Listener>>,
}

impl LoadedEndpoint {
    /// Puts an endpoint and its load together.
    ///
    /// `listener` is called when a request cannot connect to the endpoint.
    #[must_use]
    pub fn new(endpoint: Endpoint, load: Arc<Load>, listener: Option<Arc<dyn Listener>>) -> Self {
        Self { load, endpoint, listener }
    }

    /// The endpoint.
    #[must_use]
    #[inline]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The endpoint's identity.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        self.endpoint.identity()
    }

    /// The endpoint's load.
    #[must_use]
    #[inline]
    pub fn load(&self) -> &Arc<Load> {
        &self.load
    }

    /// What is known about connections to the endpoint.
    #[must_use]
    pub fn reachability(&self) -> Reachability {
        self.load.reachability()
    }

    /// Reports at `now` that a connection could not be established, or took so long that its request was given up. For
    /// connections without a [`Pick`](super::Pick), whose [`Outcome::Unreachable`](super::Outcome) says the same.
    pub fn connect_failed(&self, now: Instant) {
        self.load.failed(now, Duration::ZERO);
        self.load.unreachable(now);
        if let Some(listener) = &self.listener {
            listener.unreachable(&self.endpoint);
        }
    }
}

/// Is called for each connect error, which is a reason to query the sources again.
pub trait Listener: Send + Sync + fmt::Debug {
    /// A connection to the endpoint could not be established. Called on the request path: it must return at once.
    fn unreachable(&self, endpoint: &Endpoint);
}
