//! Properties for any set and any sequence of events.

use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::endpoint::Conditions;

type Spec = (u32, u16, bool, bool);

fn set(specs: &[Spec]) -> EndpointSet {
    let one = |(last, &(weight, priority, ready, serving)): (u8, &Spec)| {
        let mut conditions = Conditions::default();
        (conditions.ready, conditions.serving) = (ready, serving);
        endpoint(last).with_weight(weight).with_priority(priority).with_conditions(conditions)
    };
    (0..).zip(specs).map(one).collect()
}

/// The endpoints that may be picked, written from the documentation and not from the code.
fn usable(set: &EndpointSet, tried: &Tried) -> BTreeSet<usize> {
    let any_ready = set.iter().any(|e| e.conditions().ready);
    let answers = |e: &Endpoint| if any_ready { e.conditions().ready } else { e.conditions().serving };
    let fits = |e: &Endpoint| answers(e) && !tried.contains(e.identity());
    let lowest = set.iter().filter(|e| fits(e)).map(Endpoint::priority).min();
    set.iter().enumerate().filter(|(_, e)| fits(e) && Some(e.priority()) == lowest).map(|(at, _)| at).collect()
}

/// An event in the life of the requests.
#[derive(Clone, Debug)]
enum Event {
    Pick,
    Drop(usize),
    Complete(usize, Outcome),
    Update(Vec<Spec>),
    Wait(u64),
}

fn specs() -> impl Strategy<Value = Vec<Spec>> {
    let weight = prop_oneof![Just(0), Just(1), Just(u32::MAX), 0_u32..10];
    prop::collection::vec((weight, 0_u16..3, prop::bool::weighted(0.8), any::<bool>()), 0..12)
}

fn event() -> impl Strategy<Value = Event> {
    let outcome = prop_oneof![
        Just(Outcome::Success),
        Just(Outcome::Failure),
        Just(Outcome::Unreachable),
        (0_u64..900).prop_map(|s| Outcome::Overloaded { retry_after: Some(Duration::from_secs(s)) }),
    ];
    prop_oneof![
        6 => Just(Event::Pick),
        2 => any::<usize>().prop_map(Event::Drop),
        3 => (any::<usize>(), outcome).prop_map(|(at, outcome)| Event::Complete(at, outcome)),
        1 => specs().prop_map(Event::Update),
        1 => (0_u64..10_000).prop_map(Event::Wait),
    ]
}

proptest! {
    /// For any set, weights and tried endpoints: a pick is usable, and succeeds if there is a usable endpoint.
    #[test]
    fn every_pick_is_usable(specs in specs(), skip in prop::collection::vec(any::<bool>(), 12), seed: u64) {
        let set = set(&specs);
        let mut tried = Tried::new();
        set.iter().zip(skip).filter(|(_, skip)| *skip).for_each(|(e, _)| tried.add(e.identity()));
        let usable = usable(&set, &tried);
        let mut rng = SplitMix64::with_seed(seed);
        for policy in policies() {
            let snapshot = Snapshot::new(Arc::new(set.clone()), &*policy, epoch(), seed, None);
            for _ in 0..30 {
                match snapshot.pick_indexed(&mut PickArgs::new(&epoch(), &mut rng, &tried)) {
                    Ok((at, _)) => prop_assert!(usable.contains(&at), "{policy:?} {at} not in {usable:?}"),
                    Err(_) => prop_assert!(usable.is_empty(), "{policy:?} found none of {usable:?}"),
                }
            }
        }
    }

    /// The in-flight counts add up to the number of living picks at any time, and to 0 when all have ended.
    #[test]
    fn in_flight_never_leaks(first in specs(), events in prop::collection::vec(event(), 0..80), seed: u64) {
        let policy = LeastRequest::new();
        let (mut rng, tried, mut now) = (SplitMix64::with_seed(seed), Tried::new(), epoch());
        let mut snapshot = Snapshot::new(Arc::new(set(&first)), &policy, epoch(), seed, None);
        let (mut loads, mut picks): (Vec<Arc<Load>>, Vec<Pick>) = (Vec::new(), Vec::new());
        for event in events {
            match event {
                Event::Pick => picks.extend(snapshot.pick(&mut PickArgs::new(&now, &mut rng, &tried))),
                Event::Drop(at) if !picks.is_empty() => drop(picks.swap_remove(at % picks.len())),
                Event::Complete(at, how) if !picks.is_empty() => picks.swap_remove(at % picks.len()).complete(how, now),
                Event::Update(specs) => snapshot = snapshot.next(Arc::new(set(&specs)), &policy, seed),
                Event::Wait(millis) => now += Duration::from_millis(millis),
                Event::Drop(_) | Event::Complete(..) => {}
            }
            loads.extend(snapshot.loaded_endpoints().iter().map(|loaded| loaded.load().clone()));
            loads.sort_by_key(|load| Arc::as_ptr(load).addr());
            loads.dedup_by(|a, b| Arc::ptr_eq(a, b));
            let in_flight: usize = loads.iter().map(|load| load.in_flight() as usize).sum();
            prop_assert_eq!(in_flight, picks.len());
        }
        drop(picks);
        prop_assert!(loads.iter().all(|load| load.in_flight() == 0));
    }
}
