//! What holds for all policies, from the outside.

mod any;
mod carry;
mod clock;
mod levels;
mod shares;
mod simulation;

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use super::*;
use crate::endpoint::{Endpoint, EndpointSet};

/// The one moment that all simulated time counts from.
#[allow(clippy::disallowed_methods, reason = "simulated time has to begin somewhere")]
pub(super) fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

fn endpoint(last: u8) -> Endpoint {
    Endpoint::new(([10, 0, 0, last], 80).into())
}

/// Endpoints with these weights, in this order.
fn weighted(weights: &[u32]) -> EndpointSet {
    (0..).zip(weights).map(|(last, weight)| endpoint(last).with_weight(*weight)).collect()
}

fn snapshot(set: EndpointSet, policy: &dyn Policy) -> Snapshot {
    Snapshot::new(Arc::new(set), policy, epoch(), 0, None)
}

fn policies() -> [Box<dyn Policy>; 3] {
    [Box::new(RoundRobin::new()), Box::new(Random::new()), Box::new(LeastRequest::new())]
}

/// How often each endpoint is chosen in `picks` requests that come one after the other.
fn counts(snapshot: &Snapshot, tried: &Tried, picks: usize) -> Vec<f64> {
    let mut rng = SplitMix64::with_seed(42);
    let mut counts = vec![0.0; snapshot.set().len()];
    for _ in 0..picks {
        let Decision::Endpoint(at) = snapshot.choose(&mut PickArgs::new(&epoch(), &mut rng, tried)) else {
            panic!("nothing to choose");
        };
        counts[at] += 1.0;
        snapshot.start(at, None).expect("an index of the set").complete(Outcome::Success, epoch());
    }
    counts
}

/// What the next pick of a request that has tried `tried` is.
fn choose(snapshot: &Snapshot, tried: &Tried) -> Decision {
    snapshot.choose(&mut PickArgs::new(&epoch(), &mut SplitMix64::with_seed(7), tried))
}
