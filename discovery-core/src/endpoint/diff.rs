//! The difference between two sets.

use super::{Endpoint, EndpointSet};

/// What changed from one set to another, each list in the order of the sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diff<'a> {
    /// In the new set only.
    pub added: Vec<&'a Endpoint>,
    /// In the old set only.
    pub removed: Vec<&'a Endpoint>,
    /// In both with the same identity, but something else differs; as they are in the new set.
    pub changed: Vec<&'a Endpoint>,
}

impl<'a> Diff<'a> {
    /// Walks both sorted sets once: O(n + m).
    pub(super) fn between(old: &'a EndpointSet, new: &'a EndpointSet) -> Self {
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

    fn set(of: &[(u8, u32)]) -> EndpointSet {
        of.iter().map(|(last, weight)| Endpoint::new(([10, 0, 0, *last], 80).into()).with_weight(*weight)).collect()
    }

    proptest! {
        /// Applying the difference to the old set gives the new one, and nothing is named twice.
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
