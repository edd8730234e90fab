//! What readers of one target see.

use std::{fmt, ops::Deref, sync::Arc, time::Instant};

use arc_swap::Guard;

use crate::{
    Error, ThreadRng, clock,
    endpoint::EndpointSet,
    entropy,
    name::Target,
    policy::{Listener, LoadedEndpoints, Pick, PickArgs, PickError, Policy, Snapshot, Tried},
    refresh::{Freshness, View},
};

/// One published state: immutable, replaced as a whole.
#[derive(Debug)]
pub(super) struct PublishedState {
    /// Counts publications.
    generation: u64,
    snapshot: Snapshot,
    freshness: Freshness,
    /// Why the set is empty, or would be without the endpoints that are retained. `None` while the last answer had
    /// endpoints, and before the first answer.
    error: Option<Error>,
}

impl PublishedState {
    /// The state before the first answer.
    pub(super) fn unknown(policy: &dyn Policy, now: Instant, listener: Arc<dyn Listener>) -> Self {
        let snapshot = Snapshot::new(Arc::default(), policy, now, entropy::seed(), Some(listener));
        Self { generation: 0, snapshot, freshness: Freshness::Unknown, error: None }
    }

    /// The state after this one. Endpoints that stay keep their load.
    pub(super) fn next(&self, view: View, policy: &dyn Policy, error: Option<Error>) -> Self {
        // Between two answers, the reason of the last one stays.
        let error = error.or_else(|| self.error.clone());
        Self {
            generation: self.generation + 1,
            snapshot: self.snapshot.next(view.set.clone(), policy, entropy::seed()),
            error: error.filter(|_| view.set.is_empty() || view.freshness.is_retained()),
            freshness: view.freshness,
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn set(&self) -> &Arc<EndpointSet> {
        self.snapshot.set()
    }

    /// Every endpoint with its load.
    pub(super) fn loaded_endpoints(&self) -> &LoadedEndpoints {
        self.snapshot.loaded_endpoints()
    }

    /// Whether there are endpoints, or why not; `None` before the first answer.
    pub(super) fn answer(&self) -> Option<Result<(), &Error>> {
        if !self.set().is_empty() {
            return Some(Ok(()));
        }
        self.error.as_ref().map(Err)
    }

    /// Whether the last answer was negative and the set holds retained endpoints.
    pub(super) fn is_retained(&self) -> bool {
        self.freshness.is_retained()
    }

    /// Whether the last query failed.
    pub(super) fn is_failing(&self) -> bool {
        self.freshness.error().is_some()
    }

    /// Picks an endpoint and starts a request to it; returns its index in the set as well.
    #[inline]
    pub(super) fn pick(&self, target: &Target, tried: &Tried) -> Result<(usize, Pick), Error> {
        self.snapshot
            .pick_indexed(&mut PickArgs::new(&clock::now, &mut ThreadRng::new(), tried).with_drop_clock(clock::now))
            .map_err(|error| self.pick_error(target, error))
    }

    #[cold]
    fn pick_error(&self, target: &Target, error: PickError) -> Error {
        if !error.is_no_endpoints() {
            let error = Error::from(error);
            return Error::new(error.kind(), format!("`{target}`: {error}"));
        }
        self.error.clone().unwrap_or_else(|| {
            Error::transient(match self.set().len() {
                0 => format!(
                    "`{target}` is not resolved yet: no source has answered; await `Upstream::first_answer` or \
                     `Upstream::ready` before the first pick"
                ),
                count => format!("`{target}` has no usable endpoint: none of the {count} known is ready or serving"),
            })
        })
    }
}

/// The current endpoints of an [`Upstream`](crate::Upstream).
///
/// Taking this view takes no lock and does not allocate. The view does not change while you hold it, so do not hold it
/// across an `.await` for long: take a new one instead.
pub struct Endpoints(Guard<Arc<PublishedState>>);

impl Endpoints {
    pub(super) fn new(published: Guard<Arc<PublishedState>>) -> Self {
        Self(published)
    }

    /// The set, to keep for longer.
    #[must_use]
    pub fn to_arc(&self) -> Arc<EndpointSet> {
        self.0.set().clone()
    }

    /// Whether the set is stale: the last query failed, and these are the last known endpoints.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        matches!(self.0.freshness, Freshness::Stale { .. })
    }
}

impl Deref for Endpoints {
    type Target = EndpointSet;

    fn deref(&self) -> &EndpointSet {
        self.0.set()
    }
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
