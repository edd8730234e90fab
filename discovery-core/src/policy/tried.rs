//! What one request has tried.

use crate::endpoint::Identity;

/// The endpoints that one request has tried already. By identity, not by index: the set may change between
/// two attempts. An empty one allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    /// Few: as many as the request has attempts.
    identities: Vec<Identity>,
}

impl Tried {
    /// Nothing tried yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { identities: Vec::new() }
    }

    /// Remembers an endpoint.
    pub fn add(&mut self, identity: &Identity) {
        if !self.contains(identity) {
            self.identities.push(identity.clone());
        }
    }

    /// Forgets an endpoint, which may be tried again.
    pub fn remove(&mut self, identity: &Identity) {
        self.identities.retain(|tried| tried != identity);
    }

    /// Whether the endpoint has been tried.
    #[must_use]
    pub fn contains(&self, identity: &Identity) -> bool {
        self.identities.contains(identity)
    }

    /// How many have been tried.
    #[must_use]
    pub fn len(&self) -> usize {
        self.identities.len()
    }

    /// Whether none has been tried.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.identities.is_empty()
    }

    /// Forgets all, for a request that may start over.
    pub fn clear(&mut self) {
        self.identities.clear();
    }
}
