//! When the clock is read: only if the time matters.

use std::cell::Cell;

use super::*;
use crate::policy::{LoadedEndpoints, Outcome, Pick, Picker};

/// Completes a successful request; returns how often the clock was read for the pick, and for its end.
fn reads(snapshot: &Snapshot) -> (u32, u32) {
    let count = Cell::new(0);
    let clock = || {
        count.set(count.get() + 1);
        epoch()
    };
    let (mut rng, tried) = (SplitMix64::with_seed(3), Tried::new());
    let pick = snapshot.pick(&mut PickArgs::new(&clock, &mut rng, &tried)).expect("an endpoint");
    let at_pick = count.replace(0);
    pick.complete(Outcome::Success, clock);
    (at_pick, count.get())
}

fn fail(snapshot: &Snapshot, at: usize) {
    start(snapshot, at).complete(Outcome::Failure, epoch());
}

#[test]
fn a_pick_from_healthy_endpoints_does_not_read_the_clock() {
    let set: EndpointSet = (1..=3).map(endpoint).collect();
    for policy in [&LeastRequest::new() as &dyn Policy, &Random::new(), &RoundRobin::new()] {
        assert_eq!(reads(&snapshot(set.clone(), policy)), (0, 0), "{policy:?}");
    }
}

#[test]
fn a_pick_reads_the_clock_once_when_endpoints_have_failed() {
    let snapshot = snapshot((1..=2).map(endpoint).collect(), &LeastRequest::new());
    fail(&snapshot, 0);
    fail(&snapshot, 1);
    assert_eq!(reads(&snapshot), (1, 1), "once for both of the two that are compared");
    assert_eq!(reads(&snapshot).0, 1);
}

/// A policy that reads the time of each pick, as one that measures latency would.
#[derive(Debug)]
struct TimedPolicy;

impl Policy for TimedPolicy {
    fn picker(&self, _: &LoadedEndpoints, _: u64) -> Box<dyn Picker> {
        Box::new(Self)
    }
}

impl Picker for TimedPolicy {
    fn pick(&self, args: &mut PickArgs<'_>) -> Decision {
        assert_eq!(args.now(), args.now());
        Decision::Endpoint(0)
    }
}

#[test]
fn a_pick_knows_its_start_when_the_policy_reads_the_time() {
    let pick = |policy: &dyn Policy| -> Pick {
        let (mut rng, tried) = (SplitMix64::with_seed(3), Tried::new());
        let snapshot = snapshot([endpoint(1)].into_iter().collect(), policy);
        snapshot.pick(&mut PickArgs::new(&epoch(), &mut rng, &tried)).expect("an endpoint")
    };
    assert_eq!(pick(&TimedPolicy).started(), Some(epoch()));
    assert_eq!(pick(&Random::new()).started(), None);
}
