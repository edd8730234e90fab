//! The usable endpoints of one priority.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Decision, LoadedEndpoints, PickArgs, PickError, Picker, Policy, Rng, SplitMix64, connected::Connected, rng::scale,
};

pub(super) fn is_all_tried(decision: &Decision) -> bool {
    matches!(decision, Decision::Fail(error) if error.is_all_tried())
}

/// The usable endpoints of one priority.
#[derive(Debug)]
pub(super) struct Level {
    /// Those with a weight, or all of them if none has one.
    main: Group,
    /// Those of weight 0 beside others.
    weightless: Option<Weightless>,
    /// Those with connections, while some endpoints are retained and others are not. The retained ones are only here then.
    connected: Option<Connected>,
}

impl Level {
    /// The levels of a set, in the order in which they are used.
    pub(super) fn all(endpoints: &LoadedEndpoints, policy: &dyn Policy, seed: u64) -> Box<[Self]> {
        let mut seeds = SplitMix64::with_seed(seed);
        let mut group = |indexes| Group::new(endpoints, indexes, policy, seeds.next_u64());
        let level = |indexes: Vec<usize>| {
            let (connected, indexes) = Connected::split(endpoints, indexes, &mut group);
            let weight = |at: &usize| endpoints.get(*at).map_or(0, |loaded| u64::from(loaded.endpoint().weight()));
            let sum = indexes.iter().map(weight).sum::<u64>();
            let (main, rest): (Vec<_>, Vec<_>) = indexes.into_iter().partition(|at| sum == 0 || weight(at) > 0);
            let main = group(main);
            let weightless = (!rest.is_empty()).then(|| Weightless { group: group(rest), one_in: one_in(sum) });
            Self { main, weightless, connected }
        };
        usable_by_priority(endpoints).into_values().map(level).collect()
    }

    /// The decision, with the index in the whole set.
    #[inline]
    pub(super) fn choose(&self, endpoints: &LoadedEndpoints, args: &mut PickArgs<'_>) -> Decision {
        match &self.connected {
            None => self.choose_any(args),
            Some(connected) => connected.choose(endpoints, args, |args| self.choose_any(args)),
        }
    }

    /// Calls `each` with the index of each endpoint. `count` is the size of the whole set.
    pub(super) fn each_member(&self, count: usize, mut each: impl FnMut(usize)) {
        self.main.each_member(count, &mut each);
        if let Some(weightless) = &self.weightless {
            weightless.group.each_member(count, &mut each);
        }
        if let Some(connected) = &self.connected {
            connected.retained().for_each(each);
        }
    }

    #[inline]
    fn choose_any(&self, args: &mut PickArgs<'_>) -> Decision {
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
pub(super) struct Group {
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

    fn each_member(&self, count: usize, each: impl FnMut(usize)) {
        match &self.indexes {
            Some(indexes) => indexes.iter().copied().for_each(each),
            None => (0..count).for_each(each),
        }
    }

    /// The picker's decision, with the index in the whole set.
    #[inline]
    pub(super) fn choose(&self, args: &mut PickArgs<'_>) -> Decision {
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
