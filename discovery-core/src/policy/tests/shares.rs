//! The share of requests that each endpoint gets.

use super::*;

/// The distance between the counts and the weights.
fn chi_square(counts: &[f64], weights: &[u32]) -> f64 {
    let picks: f64 = counts.iter().sum();
    let total: f64 = weights.iter().copied().map(f64::from).sum();
    let terms = counts.iter().zip(weights).map(|(seen, weight)| {
        let expected = picks * f64::from(*weight) / total;
        (seen - expected).powi(2) / expected
    });
    terms.sum()
}

#[test]
fn random_and_least_request_without_load_are_uniform() {
    for policy in [&Random::new() as &dyn Policy, &LeastRequest::new(), &LeastExpectedWait::new()] {
        for count in [2, 3, 10, 97] {
            let weights = vec![1; count];
            let seen = counts(&snapshot(weighted(&weights), policy), &Tried::new(), 1000 * count);
            // The 99.9 % quantile, after Wilson and Hilferty.
            let (free, z) = (count as f64 - 1.0, 3.09);
            let limit = free * (1.0 - 2.0 / (9.0 * free) + z * (2.0 / (9.0 * free)).sqrt()).powi(3);
            let found = chi_square(&seen, &weights);
            assert!(found < limit, "{policy:?} {count}: {found} >= {limit}");
        }
    }
}

#[test]
fn round_robin_is_exact_from_any_seed() {
    for count in [1, 2, 3, 7, 100] {
        for seed in [0, 1, u64::MAX] {
            let set = Arc::new(weighted(&vec![1; count]));
            let snapshot = Snapshot::new(set, &RoundRobin::new(), epoch(), seed, None);
            assert!(counts(&snapshot, &Tried::new(), 5 * count).iter().all(|seen| *seen == 5.0));
        }
    }
}

#[test]
fn the_seed_decides_where_round_robin_starts() {
    let set = Arc::new(weighted(&[1; 100]));
    let first = |seed| choose(&Snapshot::new(set.clone(), &RoundRobin::new(), epoch(), seed, None), &Tried::new());
    let firsts: Vec<_> = (0..20).map(first).collect();
    assert!(firsts.iter().any(|at| *at != firsts[0]), "{firsts:?}");
}

/// One dead endpoint of five: the one after it must not get the retries on top of its own turns.
#[test]
fn round_robin_spreads_retries() {
    let snapshot = snapshot(weighted(&[1; 5]), &RoundRobin::new());
    let mut tried = Tried::new();
    tried.add(snapshot.set()[1].identity());
    let mut seen = [0; 5];
    for _ in 0..4000 {
        let picked = match choose(&snapshot, &Tried::new()) {
            Ok(1) => choose(&snapshot, &tried),
            picked => picked,
        };
        seen[picked.expect("four are left")] += 1;
    }
    assert_eq!(seen, [1000, 0, 1000, 1000, 1000]);
    let retries_only = counts(&super::snapshot(weighted(&[1; 5]), &RoundRobin::new()), &tried, 4000);
    assert_eq!(retries_only, [1000.0, 0.0, 1000.0, 1000.0, 1000.0]);
}

/// Includes the sets that volo's binary search over equal prefix sums gets wrong.
#[test]
fn weights_hold_with_zeros_and_duplicates() {
    let sets: [&[u32]; 7] =
        [&[1, 0, 1], &[3, 0, 0, 0, 1], &[0, 0, 5], &[5, 0, 0], &[1, 2, 3, 4], &[u32::MAX, u32::MAX, 1], &[1, 2]];
    for policy in [&Random::new() as &dyn Policy, &LeastRequest::new(), &LeastExpectedWait::new()] {
        for weights in sets {
            let seen = counts(&snapshot(weighted(weights), policy), &Tried::new(), 40_000);
            let total: f64 = weights.iter().copied().map(f64::from).sum();
            for (seen, weight) in seen.iter().zip(weights) {
                let (share, fair) = (seen / 40_000.0, f64::from(*weight) / total);
                assert!((share - fair).abs() < 0.012, "{policy:?} {weights:?}: {share} instead of {fair}");
                assert!(*weight > 0 || share <= 0.012);
            }
        }
    }
}

/// RFC 2782: "records with weight 0 should have a very small chance of being selected", by its algorithm one in the sum
/// of the weights and one more, for all of them together; never more than one in a hundred.
#[test]
fn weight_zero_has_a_very_small_chance() {
    let sets: [(&[u32], f64); 5] = [
        (&[0, 1], 0.01),
        (&[1, 0, 0, 1], 0.01),
        (&[0, 100], 1.0 / 101.0),
        (&[300, 0, 0, 199], 1.0 / 500.0),
        (&[0, u32::MAX, u32::MAX], 0.0),
    ];
    for policy in policies() {
        for (weights, share) in sets {
            let seen = counts(&snapshot(weighted(weights), &*policy), &Tried::new(), 100_000);
            let of_zeros: f64 =
                seen.iter().zip(weights).filter(|(_, weight)| **weight == 0).map(|(seen, _)| seen).sum();
            assert!((of_zeros / 100_000.0 - share).abs() < 0.001, "{policy:?} {weights:?}: {seen:?}");
            let forgotten = seen.iter().zip(weights).any(|(seen, weight)| *weight == 0 && *seen == 0.0);
            assert!(share == 0.0 || !forgotten, "{policy:?} {weights:?}: {seen:?}");
        }
    }
}

/// A chance is what it is whatever the load: an idle endpoint of weight 0 does not attract what the others are busy
/// with.
#[test]
fn weight_zero_gets_no_more_requests_when_the_others_are_busy() {
    let snapshot = snapshot(weighted(&[0, 500, 500]), &LeastRequest::new());
    let _picks: Vec<_> = (0..20).map(|n| start(&snapshot, 1 + n % 2)).collect();
    assert!(counts(&snapshot, &Tried::new(), 10_000)[0] < 30.0);
}

/// For a picker that is built without a snapshot, which would keep the zeros apart.
#[test]
fn a_picker_without_a_snapshot_uses_weight_zero_last() {
    let loaded =
        |weight| Arc::new(LoadedEndpoint::new(endpoint(1).with_weight(weight), Arc::new(Load::new(epoch())), None));
    for policy in [&Random::new() as &dyn Policy, &LeastRequest::new(), &LeastExpectedWait::new()] {
        let picker = policy.picker(&[3, 0, 0, 0, 1].map(loaded).into_iter().collect(), 0);
        let (mut rng, tried) = (SplitMix64::with_seed(3), Tried::new());
        let mut seen = [0; 5];
        for _ in 0..4000 {
            let Decision::Endpoint(at) = picker.pick(&mut PickArgs::new(&epoch(), &mut rng, &tried)) else {
                panic!("no endpoint")
            };
            seen[at] += 1;
        }
        assert_eq!(seen[1..4], [0; 3]);
        assert!((900..1100).contains(&seen[4]), "{seen:?}");
    }
    for policy in policies() {
        let endpoints: LoadedEndpoints = [(0, 3), (1, 0), (2, 0)]
            .map(|(last, weight)| endpoint(last).with_weight(weight))
            .map(|endpoint| Arc::new(LoadedEndpoint::new(endpoint, Arc::new(Load::new(epoch())), None)))
            .into_iter()
            .collect();
        let (picker, mut rng, mut tried) = (policy.picker(&endpoints, 0), SplitMix64::with_seed(3), Tried::new());
        let mut pick = |tried: &Tried| picker.pick(&mut PickArgs::new(&epoch(), &mut rng, tried));
        tried.add(endpoints[0].identity());
        let Decision::Endpoint(at @ (1 | 2)) = pick(&tried) else { panic!("{policy:?}: no endpoint") };
        tried.add(endpoints[at].identity());
        assert!(matches!(pick(&tried), Decision::Endpoint(last) if last == 3 - at), "{policy:?}");
        tried.add(endpoints[3 - at].identity());
        assert!(matches!(pick(&tried), Decision::Fail(error) if error.is_all_tried()), "{policy:?}");
    }
}

#[test]
fn zero_weights_count_as_equal_when_all_are_zero() {
    for policy in policies() {
        let seen = counts(&snapshot(weighted(&[0; 4]), &*policy), &Tried::new(), 4000);
        assert!(seen.iter().all(|seen| (900.0..1100.0).contains(seen)), "{policy:?}: {seen:?}");
    }
}

#[test]
fn the_share_of_tried_endpoints_is_redistributed_by_weight() {
    let weights = [8, 4, 2, 1, 1];
    for policy in [&Random::new() as &dyn Policy, &LeastRequest::new(), &LeastExpectedWait::new()] {
        let snapshot = snapshot(weighted(&weights), policy);
        let mut tried = Tried::new();
        tried.add(snapshot.set()[0].identity());
        tried.add(snapshot.set()[1].identity());
        let seen = counts(&snapshot, &tried, 40_000);
        assert_eq!(seen[..2], [0.0, 0.0]);
        assert!((seen[2] / 40_000.0 - 0.5).abs() < 0.012, "{policy:?}: {seen:?}");
    }
}

/// Of two endpoints the less loaded one, relative to its weight, is always picked; one that hangs is never picked.
#[test]
fn least_request_never_takes_the_busiest() {
    let cases: [(&[u32], &[usize], &[usize]); 3] =
        [(&[1, 1], &[1, 0], &[1]), (&[1, 1, 1], &[5, 4, 4], &[1, 2]), (&[1, 4], &[1, 3], &[1])];
    for (weights, in_flight, allowed) in cases {
        let snapshot = snapshot(weighted(weights), &LeastRequest::new());
        let start = |(at, n): (usize, &usize)| (0..*n).map(|_| start(&snapshot, at)).collect::<Vec<_>>();
        let _picks: Vec<_> = in_flight.iter().enumerate().map(start).collect();
        let seen = counts(&snapshot, &Tried::new(), 1000);
        for (at, seen) in seen.iter().enumerate() {
            assert_eq!(*seen > 0.0, allowed.contains(&at), "{weights:?} {in_flight:?}");
        }
    }
}

/// One request in flight on the heavy endpoint is a hundredth of its share: it must not send the next to the light one.
#[test]
fn least_request_counts_the_request_that_it_places() {
    let snapshot = snapshot(weighted(&[1, 100]), &LeastRequest::new());
    let _pick = start(&snapshot, 1);
    let seen = counts(&snapshot, &Tried::new(), 10_000);
    assert!(seen[0] < 200.0, "{seen:?}");
}

#[test]
fn least_request_holds_weights_under_load() {
    let snapshot = snapshot(weighted(&[1, 2, 5]), &LeastRequest::new());
    let (mut rng, tried) = (SplitMix64::with_seed(1), Tried::new());
    let mut pick = || snapshot.pick(&mut PickArgs::new(&epoch(), &mut rng, &tried)).expect("an endpoint");
    let _picks: Vec<_> = (0..80).map(|_| pick()).collect();
    let in_flight: Vec<_> = snapshot.loaded_endpoints().iter().map(|loaded| loaded.load().in_flight()).collect();
    // Each request is compared with itself already placed, so two draws may end one request beside the exact shares.
    let is_close = |(seen, share): (&u32, u32)| seen.abs_diff(share) <= 1;
    assert!(in_flight.iter().zip([10, 20, 50]).all(is_close), "{in_flight:?}");
}
