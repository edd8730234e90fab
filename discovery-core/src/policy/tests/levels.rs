//! Priorities, readiness, and sets without a usable endpoint.

use super::*;
use crate::endpoint::Conditions;

fn conditions(ready: bool, serving: bool) -> Conditions {
    let mut conditions = Conditions::default();
    (conditions.ready, conditions.serving) = (ready, serving);
    conditions
}

/// The endpoints that a request reaches that keeps retrying, in order, as the last byte of the address.
fn reached(snapshot: &Snapshot) -> Vec<usize> {
    let mut tried = Tried::new();
    let reach = || match choose(snapshot, &tried) {
        Ok(at) => {
            tried.add(snapshot.set()[at].identity());
            Some(at)
        }
        Err(error) => {
            assert_eq!(error.is_no_endpoints(), tried.is_empty(), "{error:?}");
            None
        }
    };
    std::iter::from_fn(reach).collect()
}

fn reached_by_all(set: &EndpointSet) -> Vec<Vec<usize>> {
    policies().iter().map(|policy| reached(&snapshot(set.clone(), &**policy))).collect()
}

#[test]
fn fails_over_to_a_higher_priority_number_after_all_lower_ones_are_tried() {
    let set: EndpointSet = [(0, 20), (1, 10), (2, 20), (3, 10), (4, 65_535)]
        .map(|(last, priority)| endpoint(last).with_priority(priority))
        .into_iter()
        .collect();
    for mut reached in reached_by_all(&set) {
        reached[..2].sort_unstable();
        reached[2..4].sort_unstable();
        assert_eq!(reached, [1, 3, 0, 2, 4]);
    }
}

/// RFC 2782: a client uses every target of a priority before one of the next priority.
#[test]
fn weight_zero_is_the_last_of_its_priority_and_comes_before_the_next_one() {
    let weights = [(0, 10, 0), (1, 10, 3), (2, 10, 0), (3, 20, 0), (4, 20, 0), (5, 30, 7)];
    let set: EndpointSet =
        weights.map(|(last, p, w)| endpoint(last).with_priority(p).with_weight(w)).into_iter().collect();
    for mut reached in reached_by_all(&set) {
        reached[1..3].sort_unstable();
        reached[3..5].sort_unstable();
        assert_eq!(reached, [1, 0, 2, 3, 4, 5]);
    }
}

/// RFC 2782, weight 0 beside other weights: when the others have been tried, it is used at once.
#[test]
fn weight_zero_is_used_when_it_is_the_last_one_left() {
    for policy in policies() {
        let snapshot = snapshot(weighted(&[0, 9]), &*policy);
        let mut tried = Tried::new();
        tried.add(snapshot.set()[1].identity());
        assert_eq!(counts(&snapshot, &tried, 100), [100.0, 0.0], "{policy:?}");
        tried.add(snapshot.set()[0].identity());
        assert!(choose(&snapshot, &tried).expect_err("all tried").is_all_tried(), "{policy:?}");
    }
}

/// The same when the other endpoints of its priority are not ready.
#[test]
fn weight_zero_is_used_when_no_other_endpoint_of_its_priority_is_ready() {
    let other = endpoint(1).with_weight(5).with_conditions(conditions(false, true));
    let set: EndpointSet = [endpoint(0).with_weight(0), other, endpoint(2).with_priority(1)].into_iter().collect();
    assert!(reached_by_all(&set).iter().all(|reached| *reached == [0, 2]));
}

#[test]
fn serving_endpoints_are_used_when_none_is_ready() {
    let set = |of: [(bool, bool); 3]| -> EndpointSet {
        (0..)
            .zip(of)
            .map(|(last, (ready, serving))| endpoint(last).with_conditions(conditions(ready, serving)))
            .collect()
    };
    let cases: [(_, &[usize]); 4] = [
        ([(true, true), (false, true), (false, false)], &[0]),
        ([(false, true), (false, true), (false, false)], &[0, 1]),
        ([(false, false), (false, true), (true, false)], &[2]),
        ([(false, false); 3], &[]),
    ];
    for (of, usable) in cases {
        for mut reached in reached_by_all(&set(of)) {
            reached.sort_unstable();
            assert_eq!(reached, usable, "{of:?}");
        }
    }
}

#[test]
fn readiness_comes_before_priority_and_weight() {
    let ready = endpoint(0).with_priority(9).with_weight(0);
    let other = endpoint(1).with_weight(7).with_conditions(conditions(false, true));
    for reached in reached_by_all(&[ready, other].into_iter().collect()) {
        assert_eq!(reached, [0]);
    }
}

#[test]
fn errors_tell_an_empty_set_from_all_tried() {
    let mut rng = SplitMix64::with_seed(1);
    for policy in policies() {
        let empty = snapshot(EndpointSet::default(), &*policy);
        let error = empty.pick(&mut PickArgs::new(&epoch(), &mut rng, &Tried::new())).expect_err("no endpoint");
        assert!(error.is_no_endpoints() && crate::Error::from(error).is_no_endpoints());

        let one = snapshot(weighted(&[1]), &*policy);
        let mut tried = Tried::new();
        tried.add(one.set()[0].identity());
        let error = one.pick(&mut PickArgs::new(&epoch(), &mut rng, &tried)).expect_err("no endpoint");
        assert!(error.is_all_tried() && crate::Error::from(error).is_all_tried());
    }
}

/// A broken custom picker that returns an index out of range.
#[derive(Debug)]
struct OutOfRangePolicy;

impl Policy for OutOfRangePolicy {
    fn picker(&self, _: &LoadedEndpoints, _: u64) -> Box<dyn Picker> {
        Box::new(Self)
    }
}

impl Picker for OutOfRangePolicy {
    fn pick(&self, _: &mut PickArgs<'_>) -> Decision {
        Decision::Endpoint(1)
    }
}

#[test]
fn an_index_out_of_range_is_an_error_and_not_a_panic() {
    let two_levels = [endpoint(0), endpoint(1).with_priority(1)].into_iter().collect();
    for set in [two_levels, weighted(&[1])] {
        let mut rng = SplitMix64::with_seed(1);
        let picked = snapshot(set, &OutOfRangePolicy).pick(&mut PickArgs::new(&epoch(), &mut rng, &Tried::new()));
        assert!(crate::Error::from(picked.expect_err("no endpoint")).is_config());
    }
}
