//! Which endpoints the published set keeps beyond the last answer, and which it leaves out.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crate::endpoint::{Endpoint, EndpointSet, Identity};

/// How long an endpoint stays ejected after a connect error while DNS is unavailable.
///
/// Ten seconds is longer than a pod restarted in place needs to listen again, and shorter than Envoy's
/// `base_ejection_time` of 30 s. The endpoint returns with the next failed answer after that, at most
/// [`backoff_max`](super::RefreshSettings::backoff_max) later.
const EJECT_FOR: Duration = Duration::from_secs(10);

/// The endpoints whose membership is open: missing but still shown, or known but ejected.
#[derive(Debug, Default)]
pub(super) struct Membership {
    /// The shown endpoints that the last positive answer lacked, each with the arrival of the first of the consecutive
    /// answers that lacked it.
    missing: BTreeMap<Identity, Instant>,
    /// The endpoints that were ejected, each with the time of its ejection.
    ejected: Vec<(Endpoint, Instant)>,
}

impl Membership {
    /// Returns the set to show after `answer`: its endpoints, and those of `shown` that have been missing for less than
    /// `hold`. The answer also ends every ejection.
    ///
    /// If the answer gives an endpoint's address to another identity, the endpoint was replaced. It is removed at once;
    /// otherwise its address would be shown twice.
    pub(super) fn replace(
        &mut self,
        shown: &EndpointSet,
        answer: EndpointSet,
        hold: Duration,
        now: Instant,
    ) -> EndpointSet {
        self.ejected.clear();
        let before = std::mem::take(&mut self.missing);
        let missing = answer.since(shown).removed;
        if missing.is_empty() {
            return answer;
        }
        let named: BTreeSet<_> = answer.iter().flat_map(Endpoint::addrs).collect();
        let mut kept = Vec::new();
        for endpoint in missing.into_iter().filter(|e| !e.addrs().any(|addr| named.contains(&addr))) {
            let since = before.get(endpoint.identity()).copied().unwrap_or(now);
            if now.saturating_duration_since(since) < hold {
                self.missing.insert(endpoint.identity().clone(), since);
                kept.push(endpoint.clone());
            }
        }
        answer.iter().cloned().chain(kept).collect()
    }

    /// Returns `shown` with the `endpoints` whose addresses it lacks, or `None` if it lacks none of them.
    pub(super) fn extend(&mut self, shown: &EndpointSet, endpoints: &[Endpoint]) -> Option<EndpointSet> {
        let known: BTreeSet<_> = shown.iter().flat_map(Endpoint::addrs).collect();
        let added: Vec<_> = endpoints.iter().filter(|e| !known.contains(&e.addr())).cloned().collect();
        if added.is_empty() {
            return None;
        }
        let is_added = |endpoint: &Endpoint| added.iter().flat_map(Endpoint::addrs).any(|addr| addr == endpoint.addr());
        self.ejected.retain(|(endpoint, _)| !is_added(endpoint));
        Some(shown.iter().cloned().chain(added).collect())
    }

    /// Returns `shown` without the endpoint if the last positive answer lacked it. The last endpoint always stays:
    /// there is nothing better to try.
    pub(super) fn remove_missing(&self, identity: &Identity, shown: &EndpointSet) -> Option<EndpointSet> {
        (self.missing.contains_key(identity) && shown.len() > 1).then(|| without(identity, shown))
    }

    /// Ejects the endpoint and returns the rest of `shown`, if at least half of the whole set remains.
    pub(super) fn eject(&mut self, identity: &Identity, shown: &EndpointSet, now: Instant) -> Option<EndpointSet> {
        let whole = shown.len() + self.ejected.len();
        if (self.ejected.len() + 1) * 2 > whole {
            return None;
        }
        self.ejected.push((shown.get_by_identity(identity)?.clone(), now));
        Some(without(identity, shown))
    }

    /// Returns `shown` with the endpoints whose ejection has expired.
    pub(super) fn readmit(&mut self, shown: &EndpointSet, now: Instant) -> EndpointSet {
        let expired = |(_, since): &mut (Endpoint, Instant)| now.saturating_duration_since(*since) >= EJECT_FOR;
        let back: Vec<Endpoint> = self.ejected.extract_if(.., expired).map(|(endpoint, _)| endpoint).collect();
        shown.iter().cloned().chain(back).collect()
    }

    /// Moves times that are later than `now` to `now`.
    pub(super) fn rewind(&mut self, now: Instant) {
        let times = self.missing.values_mut().chain(self.ejected.iter_mut().map(|(_, at)| at));
        times.for_each(|at| *at = (*at).min(now));
    }

    /// Returns when the first missing endpoint may be removed.
    pub(super) fn next_removal(&self, hold: Duration) -> Option<Instant> {
        self.missing.values().min()?.checked_add(hold)
    }
}

fn without(identity: &Identity, shown: &EndpointSet) -> EndpointSet {
    shown.iter().filter(|endpoint| endpoint.identity() != identity).cloned().collect()
}
