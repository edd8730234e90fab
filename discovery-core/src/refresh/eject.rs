//! Endpoints left out because requests could not connect to them while no answer vouches for any.

use std::time::Instant;

use super::defaults::EJECT_FOR;
use crate::endpoint::{Endpoint, EndpointSet, Identity};

/// The endpoints that are left out of a set of earlier, each with the time since when.
///
/// Without answers, connect failures are all that is known, and they say as much about the network as about the
/// endpoints: no more than half of the set is left out, and each of them for a while only.
#[derive(Debug, Default)]
pub(super) struct Ejected {
    out: Vec<(Endpoint, Instant)>,
}

impl Ejected {
    /// Leaves out one of `shown`, if half of the whole set is still left then; returns what is left.
    pub(super) fn leave_out(&mut self, who: &Identity, shown: &EndpointSet, now: Instant) -> Option<EndpointSet> {
        let whole = shown.len() + self.out.len();
        if (self.out.len() + 1) * 2 > whole {
            return None;
        }
        self.out.push((shown.get_by_identity(who)?.clone(), now));
        Some(shown.iter().filter(|endpoint| endpoint.identity() != who).cloned().collect())
    }

    /// `shown`, and those that have been left out for long enough.
    pub(super) fn take_back(&mut self, shown: &EndpointSet, now: Instant) -> EndpointSet {
        let over = |(_, since): &mut (Endpoint, Instant)| now.saturating_duration_since(*since) >= EJECT_FOR;
        let back: Vec<Endpoint> = self.out.extract_if(.., over).map(|(endpoint, _)| endpoint).collect();
        shown.iter().cloned().chain(back).collect()
    }

    /// An answer names these.
    pub(super) fn forget(&mut self, named: &[Endpoint]) {
        let is_named = |endpoint: &Endpoint| named.iter().flat_map(Endpoint::addrs).any(|addr| addr == endpoint.addr());
        self.out.retain(|(endpoint, _)| !is_named(endpoint));
    }

    /// An answer decides.
    pub(super) fn clear(&mut self) {
        self.out.clear();
    }
}
