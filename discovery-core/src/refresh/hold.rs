//! Endpoints that an answer lacks, until a later answer confirms it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::endpoint::{Endpoint, EndpointSet, Identity};

/// The endpoints that the last answers lacked, with the time of the first that did.
#[derive(Debug, Default)]
pub(super) struct Hold(BTreeMap<Identity, Instant>);

impl Hold {
    /// What to show when `answer` comes while `shown` is what readers see: everything in the answer, and
    /// what has been missing for less than `hold`.
    pub(super) fn admit(
        &mut self,
        shown: &EndpointSet,
        answer: Vec<Endpoint>,
        hold: Duration,
        now: Instant,
    ) -> EndpointSet {
        let answer = EndpointSet::new(answer);
        self.0.retain(|identity, _| answer.get_by_identity(identity).is_none());
        let mut next: Vec<Endpoint> = answer.to_vec();
        for missing in answer.since(shown).removed {
            let since = *self.0.entry(missing.identity().clone()).or_insert(now);
            if hold.is_zero() || now.saturating_duration_since(since) >= hold {
                self.0.remove(missing.identity());
            } else {
                next.push(missing.clone());
            }
        }
        EndpointSet::new(next)
    }

    pub(super) fn holds(&self, identity: &Identity) -> bool {
        self.0.contains_key(identity)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn forget(&mut self, identity: &Identity) {
        self.0.remove(identity);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
