//! An immutable set of endpoints.

use std::ops::Deref;

use super::{Endpoint, Identity};

/// An immutable set of endpoints, sorted by identity, with one endpoint for each identity.
///
/// Two sets are equal if their endpoints are equal, in whatever order the source returned them and whatever the
/// version. "Unchanged" means this equality everywhere in the crate.
#[derive(Clone, Debug, Default)]
pub struct EndpointSet {
    endpoints: Box<[Endpoint]>,
    version: u64,
}

impl EndpointSet {
    /// Creates a set: sorts `endpoints` by identity, and keeps the first of several with the same identity.
    #[must_use]
    pub fn new(mut endpoints: Vec<Endpoint>) -> Self {
        endpoints.sort_by(|a, b| a.identity().cmp(b.identity()));
        endpoints.dedup_by(|later, kept| later.identity() == kept.identity());
        Self { endpoints: endpoints.into(), version: 0 }
    }

    /// Sets the version. A publisher numbers the sets that it publishes from 1.
    #[must_use]
    pub fn with_version(mut self, version: u64) -> Self {
        self.version = version;
        self
    }

    /// The version; 0 for a set that was not published.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns the endpoint with this identity.
    #[must_use]
    pub fn get_by_identity(&self, identity: &Identity) -> Option<&Endpoint> {
        let at = self.endpoints.binary_search_by(|e| e.identity().cmp(identity)).ok()?;
        self.endpoints.get(at)
    }

    /// Returns the difference from `previous` to this set.
    #[must_use]
    pub fn since<'a>(&'a self, previous: &'a Self) -> Diff<'a> {
        Diff::between(previous, self)
    }
}

impl Deref for EndpointSet {
    type Target = [Endpoint];

    fn deref(&self) -> &[Endpoint] {
        &self.endpoints
    }
}

impl PartialEq for EndpointSet {
    fn eq(&self, other: &Self) -> bool {
        self.endpoints == other.endpoints
    }
}

impl Eq for EndpointSet {}

impl FromIterator<Endpoint> for EndpointSet {
    fn from_iter<I: IntoIterator<Item = Endpoint>>(endpoints: I) -> Self {
        Self::new(endpoints.into_iter().collect())
    }
}

/// The difference between two sets. Each list is in the order of the sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diff<'a> {
    /// The endpoints only in the new set.
    pub added: Vec<&'a Endpoint>,
    /// The endpoints only in the old set.
    pub removed: Vec<&'a Endpoint>,
    /// The endpoints in both sets of which another property than the identity changed, as they are in the new set.
    pub changed: Vec<&'a Endpoint>,
}

impl<'a> Diff<'a> {
    /// Walks both sorted sets once: O(n + m).
    fn between(old: &'a EndpointSet, new: &'a EndpointSet) -> Self {
        let mut diff = Self::default();
        let mut left = old.iter().peekable();
        for endpoint in new.iter() {
            while let Some(gone) = left.next_if(|l| l.identity() < endpoint.identity()) {
                diff.removed.push(gone);
            }
            match left.next_if(|l| l.identity() == endpoint.identity()) {
                None => diff.added.push(endpoint),
                Some(before) if before != endpoint => diff.changed.push(endpoint),
                Some(_) => {}
            }
        }
        diff.removed.extend(left);
        diff
    }

    /// Whether the sets are equal.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn endpoint(last: u8) -> Endpoint {
        Endpoint::new(([10, 0, 0, last], 80).into())
    }

    #[test]
    fn equality_ignores_order_duplicates_and_version() {
        let one: EndpointSet = [endpoint(2), endpoint(1), endpoint(2)].into_iter().collect();
        let other = EndpointSet::new(vec![endpoint(1), endpoint(2)]).with_version(7);
        assert_eq!(one, other);
        assert_eq!(one.len(), 2);
        assert_eq!(other.get_by_identity(endpoint(2).identity()), Some(&endpoint(2)));
        assert_eq!(other.get_by_identity(endpoint(3).identity()), None);
    }

    /// RFC 4291 2.5.5.2: whatever the source writes, and so whatever the application's own source writes.
    #[test]
    fn an_ipv4_mapped_address_is_the_ipv4_address() {
        let mapped = Endpoint::new("[::ffff:10.0.0.1]:80".parse().unwrap());
        assert_eq!(mapped, endpoint(1));
        assert_eq!(endpoint(1).with_addr("[::ffff:10.0.0.1]:80".parse().unwrap()), endpoint(1));
        let scoped = "[fe80::1%3]:80".parse().unwrap();
        assert_eq!(Endpoint::new(scoped).addr(), scoped);
    }

    #[test]
    fn sets_with_different_weights_differ() {
        let light = EndpointSet::new(vec![endpoint(1)]);
        let heavy = EndpointSet::new(vec![endpoint(1).with_weight(2)]);
        assert_ne!(light, heavy);
    }

    fn set(of: &[(u8, u32)]) -> EndpointSet {
        of.iter().map(|(last, weight)| Endpoint::new(([10, 0, 0, *last], 80).into()).with_weight(*weight)).collect()
    }

    proptest! {
        /// Applying the difference to the old set gives the new one, and no endpoint is listed twice.
        #[test]
        fn old_plus_diff_is_new(
            old in prop::collection::vec((0_u8..20, 1_u32..3), 0..20),
            new in prop::collection::vec((0_u8..20, 1_u32..3), 0..20),
        ) {
            let (old, new) = (set(&old), set(&new));
            let diff = new.since(&old);
            let gone = |e: &Endpoint| diff.removed.iter().chain(&diff.changed).any(|r| r.identity() == e.identity());
            let applied: EndpointSet =
                old.iter().filter(|e| !gone(e)).chain(diff.added.iter().copied()).chain(diff.changed.iter().copied())
                    .cloned().collect();
            prop_assert_eq!(&applied, &new);
            prop_assert_eq!(diff.is_empty(), old == new);
            prop_assert_eq!(applied.len(), old.len() - diff.removed.len() + diff.added.len());
        }
    }
}
