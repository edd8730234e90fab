//! A set of endpoints, ready to pick from.

use std::{fmt, sync::Arc, time::Instant};

use super::{
    Decision, Listener, Load, LoadedEndpoint, LoadedEndpoints, Pick, PickArgs, PickError, Policy, level::Level,
};
use crate::endpoint::{Endpoint, EndpointSet};

/// An immutable set of endpoints with their loads, and a picker for each priority.
///
/// An endpoint of a higher priority number is picked only when all usable ones of the lower numbers have been
/// tried by the same request (RFC 2782). Endpoints that are not ready are left out as long as one is ready;
/// when none is, those that still serve are used. Endpoints of weight 0 are left out unless all usable ones
/// of their priority have weight 0.
pub struct Snapshot {
    set: Arc<EndpointSet>,
    slots: LoadedEndpoints,
    levels: Box<[Level]>,
    epoch: Instant,
    listener: Option<Arc<dyn Listener>>,
}

impl Snapshot {
    /// The first snapshot, with nothing known of any endpoint.
    ///
    /// `epoch` is any moment before the first failure, such as now. `seed` is for the first position of the
    /// pickers. `listener` is told of endpoints that cannot be reached, now and in all later snapshots.
    #[must_use]
    pub fn new(
        set: Arc<EndpointSet>,
        policy: &dyn Policy,
        epoch: Instant,
        seed: u64,
        listener: Option<Arc<dyn Listener>>,
    ) -> Self {
        Self { set: Arc::default(), slots: LoadedEndpoints::default(), levels: Box::default(), epoch, listener }
            .next(set, policy, seed)
    }

    /// The snapshot of a newer set. Loads follow the identity of the endpoints; that of an endpoint which is
    /// gone is dropped, so that the same address starts afresh if it comes back as another pod.
    ///
    /// Pass another `seed` each time: with the same one, each update would send the next request to the same
    /// position.
    #[must_use]
    pub fn next(&self, set: Arc<EndpointSet>, policy: &dyn Policy, seed: u64) -> Self {
        // Both are sorted by identity: one walk over the two.
        let mut old = self.slots.iter().peekable();
        let slots: LoadedEndpoints = set
            .iter()
            .map(|endpoint| {
                while old.next_if(|slot| slot.identity() < endpoint.identity()).is_some() {}
                self.slot(endpoint, old.next_if(|slot| slot.identity() == endpoint.identity()))
            })
            .collect();
        let levels = Level::all(&slots, policy, seed);
        Self { set, slots, levels, epoch: self.epoch, listener: self.listener.clone() }
    }

    fn slot(&self, endpoint: &Endpoint, old: Option<&Arc<LoadedEndpoint>>) -> Arc<LoadedEndpoint> {
        let load = match old {
            Some(slot) if slot.endpoint() == endpoint => return slot.clone(),
            Some(slot) => slot.load().clone(),
            None => Arc::new(Load::new(self.epoch)),
        };
        Arc::new(LoadedEndpoint::new(endpoint.clone(), load, self.listener.clone()))
    }

    /// Chooses an endpoint and starts a request to it.
    ///
    /// # Errors
    ///
    /// When there is no usable endpoint, or all have been tried.
    pub fn pick(&self, args: &mut PickArgs<'_>) -> Result<Pick, PickError> {
        match self.choose(args) {
            Decision::Endpoint(index) => self.start(index, args.pick_time()).ok_or(PickError::out_of_range()),
            Decision::Wait => Err(PickError::empty()),
            Decision::Fail(error) => Err(error),
        }
    }

    /// Chooses an endpoint by its index in the set, for callers that keep something of their own for each
    /// endpoint, in the same order. [`start`](Self::start) begins the request.
    #[must_use]
    #[inline]
    pub fn choose(&self, args: &mut PickArgs<'_>) -> Decision {
        let mut decision = Decision::Wait;
        for level in &self.levels {
            decision = level.choose(args);
            if !matches!(decision, Decision::Fail(error) if error.is_all_tried()) {
                break;
            }
        }
        decision
    }

    /// Starts a request to the endpoint with this index in the set; `None` when there is no such index. `started` is
    /// the time, if known: [`PickArgs::pick_time`] after the choice.
    #[must_use]
    #[inline]
    pub fn start(&self, index: usize, started: Option<Instant>) -> Option<Pick> {
        self.slots.get(index).map(|slot| Pick::start(slot.clone(), started))
    }

    /// The set.
    #[must_use]
    pub fn set(&self) -> &Arc<EndpointSet> {
        &self.set
    }

    /// Every endpoint of the set, usable or not, with its load, in the order of the set.
    #[must_use]
    pub fn loaded_endpoints(&self) -> &LoadedEndpoints {
        &self.slots
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("slots", &self.slots)
            .field("levels", &self.levels.len())
            .finish_non_exhaustive()
    }
}
