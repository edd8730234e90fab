//! The endpoints that one request has tried.

use crate::endpoint::Identity;

/// The endpoints that one request has tried, by identity and not by index, because the set may change between two attempts.
/// An empty `Tried` allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    /// At most as many as the request has attempts, so a list is fast enough.
    identities: Vec<Identity>,
}

impl Tried {
    /// Creates an empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { identities: Vec::new() }
    }

    /// Adds an endpoint.
    pub fn add(&mut self, identity: &Identity) {
        if !self.contains(identity) {
            self.identities.push(identity.clone());
        }
    }

    /// Removes an endpoint, so that it can be tried again.
    pub fn remove(&mut self, identity: &Identity) {
        self.identities.retain(|tried| tried != identity);
    }

    /// Returns whether the endpoint has been tried.
    #[must_use]
    pub fn contains(&self, identity: &Identity) -> bool {
        self.identities.contains(identity)
    }

    /// Returns the number of endpoints.
    #[must_use]
    pub fn len(&self) -> usize {
        self.identities.len()
    }

    /// Returns whether no endpoint has been tried.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.identities.is_empty()
    }

    /// Removes all endpoints, for a request that starts over.
    pub fn clear(&mut self) {
        self.identities.clear();
    }
}
