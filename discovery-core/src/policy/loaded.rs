//! One endpoint and what belongs to it.

use std::{fmt, sync::Arc};

use super::Load;
use crate::endpoint::{Endpoint, Identity};

/// Endpoints to choose from, in the order of their set.
pub type LoadedEndpoints = Arc<[Arc<LoadedEndpoint>]>;

/// One endpoint, its load, and who wants to know when it cannot be reached.
#[derive(Debug)]
pub struct LoadedEndpoint {
    load: Arc<Load>,
    endpoint: Endpoint,
    listener: Option<Arc<dyn Listener>>,
}

impl LoadedEndpoint {
    /// Puts an endpoint and its load together.
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

    /// What the endpoint is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        self.endpoint.identity()
    }

    /// The endpoint's statistics.
    #[must_use]
    #[inline]
    pub fn load(&self) -> &Arc<Load> {
        &self.load
    }

    pub(super) fn unreachable(&self) {
        if let Some(listener) = &self.listener {
            listener.unreachable(&self.endpoint);
        }
    }
}

/// Learns that an endpoint cannot be reached, which is a reason to ask the sources again.
pub trait Listener: Send + Sync + fmt::Debug {
    /// No connection to the endpoint came about. Called on the request's path: it must return at once.
    fn unreachable(&self, endpoint: &Endpoint);
}
