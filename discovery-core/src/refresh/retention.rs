//! Which endpoints stay after the answer that named them, because connections to them work.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::RefreshSettings;
use crate::endpoint::{Endpoint, EndpointSet, Identity};

/// What requests have shown about the endpoints of a target, and since when endpoints are retained.
#[derive(Debug, Default)]
pub(super) struct Retention {
    /// The endpoints whose last request succeeded, each with the time of the last report that said so.
    working: BTreeMap<Identity, Instant>,
    /// The retained endpoints, each with the arrival of the first answer that lacked it.
    retained: BTreeMap<Identity, Instant>,
}

impl Retention {
    /// Records the outcome of the last request to an endpoint.
    pub(super) fn on_outcome(&mut self, identity: &Identity, succeeded: bool, now: Instant) {
        if succeeded {
            self.working.insert(identity.clone(), now);
        } else {
            self.working.remove(identity);
        }
    }

    /// Returns those of `absent` that stay, marked as retained: requests succeed on them, they have been used within
    /// [`retain_idle`](RefreshSettings::retain_idle), and the answers have lacked them for no longer than
    /// [`retain_for`](RefreshSettings::retain_for). If they are too many, the most recently used ones stay.
    ///
    /// `absent` are the endpoints of the published set that the newest answer lacks. All other endpoints end their
    /// retention.
    pub(super) fn retain<'a>(
        &mut self,
        absent: impl Iterator<Item = &'a Endpoint>,
        settings: &RefreshSettings,
        now: Instant,
    ) -> Vec<Endpoint> {
        let before = std::mem::take(&mut self.retained);
        let mut stay: Vec<(Duration, Instant, &Endpoint)> = absent
            .filter_map(|endpoint| {
                let identity = endpoint.identity();
                let unused = now.saturating_duration_since(*self.working.get(identity)?);
                let since = before.get(identity).copied().unwrap_or(now);
                let is_recent = now.saturating_duration_since(since) < settings.retain_for();
                (unused < settings.retain_idle() && is_recent).then_some((unused, since, endpoint))
            })
            .collect();
        // Stable: endpoints that were used in the same interval stay in the order of the set.
        stay.sort_by_key(|(unused, ..)| *unused);
        stay.truncate(settings.retain_max());
        self.retained = stay.iter().map(|(_, since, endpoint)| (endpoint.identity().clone(), *since)).collect();
        stay.into_iter().map(|(.., endpoint)| endpoint.clone().with_retained(true)).collect()
    }

    /// Forgets the endpoints that are not in the set.
    pub(super) fn keep_only(&mut self, set: &EndpointSet) {
        self.working.retain(|identity, _| set.get_by_identity(identity).is_some());
        self.retained.retain(|identity, _| set.get_by_identity(identity).is_some());
    }

    /// Moves times that are later than `now` to `now`.
    pub(super) fn rewind(&mut self, now: Instant) {
        self.working.values_mut().chain(self.retained.values_mut()).for_each(|at| *at = (*at).min(now));
    }
}
