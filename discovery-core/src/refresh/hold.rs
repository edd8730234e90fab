//! Removals that wait for a second answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crate::endpoint::{Endpoint, EndpointSet, Identity};

/// The endpoints that are still shown although the last good answer lacked them, each with the arrival of the
/// first answer in a row that did.
#[derive(Debug, Default)]
pub(super) struct Holds {
    missed: BTreeMap<Identity, Instant>,
}

impl Holds {
    /// What to show after `answer`: its endpoints, and those of `shown` that have been missing for less than
    /// `hold`.
    ///
    /// An endpoint of which the answer gives an address to another identity has been replaced, not lost: it goes at
    /// once, or its address would be shown twice.
    pub(super) fn merge(
        &mut self,
        shown: &EndpointSet,
        answer: EndpointSet,
        hold: Duration,
        now: Instant,
    ) -> EndpointSet {
        let before = std::mem::take(&mut self.missed);
        let missing = answer.since(shown).removed;
        if missing.is_empty() {
            return answer;
        }
        let named: BTreeSet<_> = answer.iter().flat_map(Endpoint::addrs).collect();
        let mut kept = Vec::new();
        for endpoint in missing.into_iter().filter(|e| !e.addrs().any(|addr| named.contains(&addr))) {
            let since = before.get(endpoint.identity()).copied().unwrap_or(now);
            if now.saturating_duration_since(since) < hold {
                self.missed.insert(endpoint.identity().clone(), since);
                kept.push(endpoint.clone());
            }
        }
        answer.iter().cloned().chain(kept).collect()
    }

    /// Whether the last good answer lacked the endpoint.
    pub(super) fn contains(&self, who: &Identity) -> bool {
        self.missed.contains_key(who)
    }

    /// When the first of them may be removed.
    pub(super) fn next(&self, hold: Duration) -> Option<Instant> {
        self.missed.values().min()?.checked_add(hold)
    }

    /// None is shown any more.
    pub(super) fn clear(&mut self) {
        self.missed.clear();
    }
}
