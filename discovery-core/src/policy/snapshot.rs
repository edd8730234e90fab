//! A set of endpoints, ready to pick from.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Instant};

use super::{
    Decision, Listener, Load, LoadedEndpoint, LoadedEndpoints, Pick, PickArgs, PickError, Picker, Policy, Rng,
    SplitMix64, rng::scale,
};
use crate::endpoint::{Endpoint, EndpointSet};

/// An immutable set of endpoints with their loads, and a picker for each priority.
///
/// A request fails over to endpoints of a higher priority number only after it has tried all usable ones of the lower
/// numbers (RFC 2782). An endpoint that is not ready is left out while another one is ready; if none is ready, the
/// endpoints that are still serving are used.
///
/// Endpoints of weight 0 are the last of their priority: beside others that have a weight, they get all together at most
/// one request in a hundred, and are used when the others have been tried (RFC 2782).
pub struct Snapshot {
    set: Arc<EndpointSet>,
    endpoints: LoadedEndpoints,
    levels: Box<[Level]>,
    epoch: Instant,
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
        Self { set: Arc::default(), endpoints: LoadedEndpoints::default(), levels: Box::default(), epoch, listener }
            .next(set, policy, seed)
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
        Self { set, endpoints, levels, epoch: self.epoch, listener: self.listener.clone() }
    }

    /// Puts an endpoint together with the load it had before, or with an empty one.
    fn load(&self, endpoint: &Endpoint, old: Option<&Arc<LoadedEndpoint>>) -> Arc<LoadedEndpoint> {
        let load = match old {
            Some(loaded) if loaded.endpoint() == endpoint => return loaded.clone(),
            Some(loaded) => loaded.load().clone(),
            None => Arc::new(Load::new(self.epoch)),
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
                Some(loaded) => Ok((index, Pick::start(loaded.clone(), args.pick_time()))),
                None => Err(PickError::out_of_range()),
            },
            Decision::Wait => Err(PickError::empty()),
            Decision::Fail(error) => Err(error),
        }
    }

    #[inline]
    fn choose(&self, args: &mut PickArgs<'_>) -> Decision {
        let mut decision = Decision::Wait;
        for level in &self.levels {
            decision = level.choose(args);
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

fn is_all_tried(decision: &Decision) -> bool {
    matches!(decision, Decision::Fail(error) if error.is_all_tried())
}

/// The usable endpoints of one priority.
#[derive(Debug)]
struct Level {
    /// Those with a weight, or all of them if none has one.
    main: Group,
    /// Those of weight 0 beside others.
    weightless: Option<Weightless>,
}

impl Level {
    /// The levels of a set, in the order in which they are used.
    fn all(endpoints: &LoadedEndpoints, policy: &dyn Policy, seed: u64) -> Box<[Self]> {
        let mut seeds = SplitMix64::with_seed(seed);
        let mut group = |indexes| Group::new(endpoints, indexes, policy, seeds.next_u64());
        let level = |indexes: Vec<usize>| {
            let weight = |at: &usize| endpoints.get(*at).map_or(0, |loaded| u64::from(loaded.endpoint().weight()));
            let sum = indexes.iter().map(weight).sum::<u64>();
            let (main, rest): (Vec<_>, Vec<_>) = indexes.into_iter().partition(|at| sum == 0 || weight(at) > 0);
            let main = group(main);
            let weightless = (!rest.is_empty()).then(|| Weightless { group: group(rest), one_in: one_in(sum) });
            Self { main, weightless }
        };
        usable_by_priority(endpoints).into_values().map(level).collect()
    }

    /// The decision, with the index in the whole set.
    #[inline]
    fn choose(&self, args: &mut PickArgs<'_>) -> Decision {
        match &self.weightless {
            None => self.main.choose(args),
            Some(weightless) => self.choose_of_two(weightless, args),
        }
    }

    fn choose_of_two(&self, weightless: &Weightless, args: &mut PickArgs<'_>) -> Decision {
        let (mut first, mut second) = (&self.main, &weightless.group);
        if scale(args.rng.next_u64(), weightless.one_in) == 0 {
            (first, second) = (second, first);
        }
        let decision = first.choose(args);
        if is_all_tried(&decision) { second.choose(args) } else { decision }
    }
}

/// Endpoints of weight 0 beside others that have a weight. They have a picker of their own, so that no load of the
/// others adds to their chance.
#[derive(Debug)]
struct Weightless {
    group: Group,
    /// They come first in one of so many requests.
    one_in: u64,
}

/// The algorithm of RFC 2782 gives records of weight 0 one request in `sum + 1`. For a small sum that is not the "very
/// small chance" that the text promises.
fn one_in(sum: u64) -> u64 {
    sum.saturating_add(1).max(100)
}

/// Endpoints that a picker chooses from.
#[derive(Debug)]
struct Group {
    picker: Box<dyn Picker>,
    /// The index in the whole set of each of the picker's endpoints; `None` when they are the whole set.
    indexes: Option<Box<[usize]>>,
}

impl Group {
    fn new(endpoints: &LoadedEndpoints, indexes: Vec<usize>, policy: &dyn Policy, seed: u64) -> Self {
        if indexes.len() == endpoints.len() {
            return Self { picker: policy.picker(endpoints, seed), indexes: None };
        }
        let own: LoadedEndpoints = indexes.iter().filter_map(|at| endpoints.get(*at)).map(Arc::clone).collect();
        Self { picker: policy.picker(&own, seed), indexes: Some(indexes.into()) }
    }

    /// The picker's decision, with the index in the whole set.
    #[inline]
    fn choose(&self, args: &mut PickArgs<'_>) -> Decision {
        match (self.picker.pick(args), &self.indexes) {
            (Decision::Endpoint(at), Some(indexes)) => match indexes.get(at) {
                Some(index) => Decision::Endpoint(*index),
                None => Decision::Fail(PickError::out_of_range()),
            },
            (decision, _) => decision,
        }
    }
}

/// The indexes of the usable endpoints: the ready ones, or if none is ready the serving ones.
fn usable_by_priority(endpoints: &LoadedEndpoints) -> BTreeMap<u16, Vec<usize>> {
    let any_ready = endpoints.iter().any(|loaded| loaded.endpoint().conditions().ready);
    let mut levels: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
    for (at, loaded) in endpoints.iter().enumerate() {
        let (endpoint, conditions) = (loaded.endpoint(), loaded.endpoint().conditions());
        if if any_ready { conditions.ready } else { conditions.serving } {
            levels.entry(endpoint.priority()).or_default().push(at);
        }
    }
    levels
}
