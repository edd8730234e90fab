//! The endpoints that are used together.

use std::{collections::BTreeMap, sync::Arc};

use super::{Decision, LoadedEndpoints, PickArgs, PickError, Picker, Policy, Rng, SplitMix64};

/// The usable endpoints of one priority, and the picker among them.
#[derive(Debug)]
pub(super) struct Level {
    picker: Box<dyn Picker>,
    /// Where the picker's slots are in the whole set; `None` when they are the whole set.
    places: Option<Box<[usize]>>,
}

impl Level {
    /// The levels of a set, in the order in which they are used.
    ///
    /// Endpoints that are not ready are left out, or when none is ready those that do not serve. Of each
    /// priority those of weight 0 are left out, unless all are.
    pub(super) fn all(slots: &LoadedEndpoints, policy: &dyn Policy, seed: u64) -> Box<[Self]> {
        let mut seeds = SplitMix64::with_seed(seed);
        by_priority(slots).into_values().map(|places| Self::new(slots, places, policy, seeds.next_u64())).collect()
    }

    fn new(slots: &LoadedEndpoints, places: Vec<usize>, policy: &dyn Policy, seed: u64) -> Self {
        if places.len() == slots.len() {
            return Self { picker: policy.picker(slots, seed), places: None };
        }
        let own: LoadedEndpoints = places.iter().filter_map(|at| slots.get(*at)).map(Arc::clone).collect();
        Self { picker: policy.picker(&own, seed), places: Some(places.into()) }
    }

    /// The picker's decision, with the index in the whole set.
    #[inline]
    pub(super) fn choose(&self, args: &mut PickArgs<'_>) -> Decision {
        match (self.picker.pick(args), &self.places) {
            (Decision::Endpoint(at), Some(places)) => match places.get(at) {
                Some(place) => Decision::Endpoint(*place),
                None => Decision::Fail(PickError::out_of_range()),
            },
            (decision, _) => decision,
        }
    }
}

fn by_priority(slots: &LoadedEndpoints) -> BTreeMap<u16, Vec<usize>> {
    let any_ready = slots.iter().any(|slot| slot.endpoint().conditions().ready);
    let mut levels: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
    for (at, slot) in slots.iter().enumerate() {
        let (endpoint, conditions) = (slot.endpoint(), slot.endpoint().conditions());
        if if any_ready { conditions.ready } else { conditions.serving } {
            levels.entry(endpoint.priority()).or_default().push(at);
        }
    }
    let has_weight = |at: &usize| slots.get(*at).is_some_and(|slot| slot.endpoint().weight() > 0);
    for places in levels.values_mut() {
        if places.iter().any(has_weight) {
            places.retain(has_weight);
        }
    }
    levels
}
