//! Endpoints to which no connection can be established, under every policy.

use std::{collections::BTreeSet, time::Duration};

use super::*;

fn set(count: u8) -> EndpointSet {
    (0..count).map(endpoint).collect()
}

fn fail(snapshot: &Snapshot, at: usize) {
    start(snapshot, at).complete(Outcome::Unreachable, epoch());
}

#[test]
fn unreachable_endpoints_get_no_request_while_half_of_the_set_is_usable() {
    for policy in policies() {
        for (count, dead) in [(2, 1), (4, 2), (9, 3), (100, 50)] {
            let snapshot = snapshot(set(count), &*policy);
            (0..dead).for_each(|at| fail(&snapshot, at));
            let counts = counts(&snapshot, &Tried::new(), 2_000);
            assert!(counts[..dead].iter().all(|count| *count == 0.0), "{policy:?} {dead} of {count}: {counts:?}");
            assert!(counts[dead..].iter().all(|count| *count > 0.0), "{policy:?} {dead} of {count}: {counts:?}");
        }
    }
}

#[test]
fn usable_endpoints_keep_even_shares_beside_unreachable_ones() {
    for policy in policies() {
        let snapshot = snapshot(set(4), &*policy);
        fail(&snapshot, 1);
        let counts = counts(&snapshot, &Tried::new(), 6_000);
        assert!([0, 2, 3].iter().all(|at| (counts[*at] - 2_000.0).abs() < 200.0), "{policy:?}: {counts:?}");
    }
}

#[test]
fn all_endpoints_are_used_while_fewer_than_half_are_usable() {
    for policy in [&RoundRobin::new() as &dyn Policy, &Random::new()] {
        let snapshot = snapshot(set(5), policy);
        (0..3).for_each(|at| fail(&snapshot, at));
        // Without outcomes, which would make them usable.
        let mut rng = SplitMix64::with_seed(1);
        let tried = Tried::new();
        let mut pick = || snapshot.pick_indexed(&mut PickArgs::new(&epoch(), &mut rng, &tried)).expect("an endpoint").0;
        let picked: BTreeSet<_> = (0..1_000).map(|_| pick()).collect();
        assert_eq!(picked.len(), 5, "{policy:?}");
    }
}

#[test]
fn an_unreachable_endpoint_is_the_last_resort_of_a_retry() {
    for policy in policies() {
        let snapshot = snapshot(set(3), &*policy);
        fail(&snapshot, 1);
        let mut tried = Tried::new();
        for _ in 0..2 {
            let at = choose(&snapshot, &tried).expect("an endpoint");
            assert_ne!(at, 1, "{policy:?}");
            tried.add(snapshot.set()[at].identity());
        }
        assert_eq!(choose(&snapshot, &tried), Ok(1), "{policy:?}");
    }
}

#[test]
fn the_next_priority_is_used_while_the_first_is_unreachable() {
    for policy in policies() {
        let set: EndpointSet = [(0, 1), (1, 1), (2, 2)]
            .map(|(last, priority)| endpoint(last).with_priority(priority))
            .into_iter()
            .collect();
        let snapshot = snapshot(set, &*policy);
        fail(&snapshot, 0);
        assert_eq!(counts(&snapshot, &Tried::new(), 100), [0.0, 100.0, 0.0], "{policy:?}");
        fail(&snapshot, 1);
        assert_eq!(counts(&snapshot, &Tried::new(), 100), [0.0, 0.0, 100.0], "{policy:?}");
        fail(&snapshot, 2);
        let counts = counts(&snapshot, &Tried::new(), 100);
        assert_eq!(counts.iter().sum::<f64>(), 100.0, "some endpoint is always found: {policy:?}");
    }
}

#[test]
fn an_unreachable_endpoint_without_a_probe_gets_one_request_after_each_back_off() {
    let snapshot = snapshot(set(2), &RoundRobin::new());
    fail(&snapshot, 0);
    let picked_in = |now: Instant| {
        let mut rng = SplitMix64::with_seed(1);
        let pick = |_| snapshot.pick_indexed(&mut PickArgs::new(&now, &mut rng, &Tried::new())).expect("an endpoint").0;
        (0..10).map(pick).filter(|at| *at == 0).count()
    };
    let after = |millis| epoch() + Duration::from_millis(millis);
    assert_eq!(picked_in(after(249)), 0);
    assert_eq!(picked_in(after(250)), 1);
    assert_eq!((picked_in(after(749)), picked_in(after(750))), (0, 1));
}

#[test]
fn a_connection_or_a_success_makes_an_endpoint_usable_again() {
    for ending in [|load: &Load| load.connected(), |load: &Load| load.succeeded(&epoch())] {
        let snapshot = snapshot(set(2), &Random::new());
        assert_eq!(snapshot.loaded_endpoints()[0].reachability(), Reachability::Unknown);
        fail(&snapshot, 0);
        assert_eq!(snapshot.loaded_endpoints()[0].reachability(), Reachability::Unreachable);
        ending(snapshot.loaded_endpoints()[0].load());
        assert_eq!(snapshot.loaded_endpoints()[0].reachability(), Reachability::Connected);
        assert!(counts(&snapshot, &Tried::new(), 100)[0] > 0.0);
    }
}

#[test]
fn an_endpoint_with_new_addresses_is_unknown_and_one_that_stays_is_not() {
    let named = |last: u8| Endpoint::new(([10, 0, 0, last], 80).into()).with_uid("web-0");
    let snapshot = snapshot([named(1), endpoint(9)].into_iter().collect(), &Random::new());
    let web = snapshot.set().iter().position(|one| one.addr() == named(1).addr()).expect("web-0");
    fail(&snapshot, web);
    let same = snapshot.next(snapshot.set().clone(), &Random::new(), 1);
    assert_eq!(same.loaded_endpoints()[web].reachability(), Reachability::Unreachable);
    let moved = same.next(Arc::new([named(2), endpoint(9)].into_iter().collect()), &Random::new(), 2);
    let web = moved.set().iter().position(|one| one.addr() == named(2).addr()).expect("web-0");
    assert_eq!(moved.loaded_endpoints()[web].reachability(), Reachability::Unknown);
}
