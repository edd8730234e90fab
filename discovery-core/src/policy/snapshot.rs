//! A set of endpoints, ready to pick from.

use std::{fmt, sync::Arc, time::Instant};

use super::{
    Decision, Listener, Load, LoadedEndpoint, LoadedEndpoints, Pick, PickArgs, PickError, Policy, avoid,
    level::{Level, is_all_tried},
    wait::Fleet,
};
use crate::endpoint::{Endpoint, EndpointSet};

/// An immutable set of endpoints with their loads, and a picker for each priority.
///
/// A request fails over to endpoints of a higher priority number only after it has tried all usable ones of the lower
/// numbers (RFC 2782). An endpoint that is not ready is left out while another one is ready; if none is ready, the
/// endpoints that are still serving are used.
///
/// While a priority has [retained](Endpoint::is_retained) endpoints, an endpoint with a connection to spare comes before
/// one that needs a new connection, and a new connection uses the newest answer.
///
/// An endpoint whose last connection could not be established gets no request while another one of its priority is
/// usable, unless fewer than half of the priority are usable: then all are used.
///
/// Endpoints of weight 0 are the last of their priority: beside others that have a weight, they get all together at most
/// one request in a hundred, and are used when the others have been tried (RFC 2782).
pub struct Snapshot {
    set: Arc<EndpointSet>,
    endpoints: LoadedEndpoints,
    levels: Box<[Level]>,
    fleet: Arc<Fleet>,
    listener: Option<Arc<dyn Listener>>,
}

impl Snapshot {
    /// Creates the first snapshot of a target. Every load is empty.
    ///
    /// `epoch` is any moment before the first failure, such as now. `seed` determines where the pickers start.
    /// `listener` is called for each endpoint that cannot be connected to, in this snapshot and in all later ones.
    #[must_use]
    pub fn new(
        set: Arc<EndpointSet>,
        policy: &dyn Policy,
        epoch: Instant,
        seed: u64,
        listener: Option<Arc<dyn Listener>>,
    ) -> Self {
        let (endpoints, fleet) = (LoadedEndpoints::default(), Arc::new(Fleet::new(epoch)));
        Self { set: Arc::default(), endpoints, levels: Box::default(), fleet, listener }.next(set, policy, seed)
    }

    /// Creates the snapshot of a newer set.
    ///
    /// A load follows the identity of its endpoint. It is dropped with the endpoint, so an address that comes back as
    /// another pod starts with an empty load.
    ///
    /// Pass another `seed` each time: with the same one, every update would send the next request to the same
    /// position.
    #[must_use]
    pub fn next(&self, set: Arc<EndpointSet>, policy: &dyn Policy, seed: u64) -> Self {
        // Both are sorted by identity: one walk over the two.
        let mut old = self.endpoints.iter().peekable();
        let endpoints: LoadedEndpoints = set
            .iter()
            .map(|endpoint| {
                while old.next_if(|loaded| loaded.identity() < endpoint.identity()).is_some() {}
                self.load(endpoint, old.next_if(|loaded| loaded.identity() == endpoint.identity()))
            })
            .collect();
        let levels = Level::all(&endpoints, policy, seed);
        Self { set, endpoints, levels, fleet: self.fleet.clone(), listener: self.listener.clone() }
    }

    /// Puts an endpoint together with the load it had before, or with an empty one.
    fn load(&self, endpoint: &Endpoint, old: Option<&Arc<LoadedEndpoint>>) -> Arc<LoadedEndpoint> {
        let load = match old {
            Some(loaded) if loaded.endpoint() == endpoint => return loaded.clone(),
            Some(loaded) => {
                if !loaded.endpoint().addrs().eq(endpoint.addrs()) {
                    loaded.load().moved();
                }
                loaded.load().clone()
            }
            None => Arc::new(Load::in_fleet(self.fleet.clone())),
        };
        Arc::new(LoadedEndpoint::new(endpoint.clone(), load, self.listener.clone()))
    }

    /// Picks an endpoint and starts a request to it.
    ///
    /// # Errors
    /// When the set has no usable endpoint, or the request has tried all of them.
    #[inline]
    pub fn pick(&self, args: &mut PickArgs<'_>) -> Result<Pick, PickError> {
        self.pick_indexed(args).map(|(_, pick)| pick)
    }

    /// Picks an endpoint and starts a request to it; returns its index in the set as well. For callers that keep a
    /// value for each endpoint, in the order of the set.
    ///
    /// # Errors
    /// As [`pick`](Self::pick).
    #[inline]
    pub fn pick_indexed(&self, args: &mut PickArgs<'_>) -> Result<(usize, Pick), PickError> {
        match self.choose(args) {
            Decision::Endpoint(index) => match self.endpoints.get(index) {
                Some(loaded) => {
                    let pick = Pick::start(loaded.clone(), args.pick_time());
                    Ok((index, pick.with_drop_clock(args.drop_clock())))
                }
                None => Err(PickError::out_of_range()),
            },
            Decision::Wait => Err(PickError::empty()),
            Decision::Fail(error) => Err(error),
        }
    }

    #[inline]
    fn choose(&self, args: &mut PickArgs<'_>) -> Decision {
        match self.choose_any(args) {
            Decision::Endpoint(at) if self.endpoints.get(at).is_some_and(|one| one.load().is_unreachable()) => {
                avoid::unreachable(&self.levels, &self.endpoints, at, args)
            }
            decision => decision,
        }
    }

    #[inline]
    fn choose_any(&self, args: &mut PickArgs<'_>) -> Decision {
        let mut decision = Decision::Wait;
        for level in &self.levels {
            decision = level.choose(&self.endpoints, args);
            if !is_all_tried(&decision) {
                break;
            }
        }
        decision
    }

    /// The set.
    #[must_use]
    pub fn set(&self) -> &Arc<EndpointSet> {
        &self.set
    }

    /// Every endpoint of the set with its load, usable or not, in the order of the set.
    #[must_use]
    pub fn loaded_endpoints(&self) -> &LoadedEndpoints {
        &self.endpoints
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("endpoints", &self.endpoints)
            .field("levels", &self.levels.len())
            .finish_non_exhaustive()
    }
}
