//! Tests of all policies through their public interface.

mod any;
mod carry;
mod clock;
mod connected;
mod expected_wait;
mod levels;
mod reach;
mod shares;
mod simulation;

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use super::*;
use crate::endpoint::{Endpoint, EndpointSet};

/// The moment that simulated time starts from.
#[allow(clippy::disallowed_methods, reason = "simulated time has to start somewhere")]
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

fn policies() -> [Box<dyn Policy>; 4] {
    [
        Box::new(RoundRobin::new()),
        Box::new(Random::new()),
        Box::new(LeastRequest::new()),
        Box::new(LeastExpectedWait::new()),
    ]
}

/// How often each endpoint is picked by `picks` successive requests.
fn counts(snapshot: &Snapshot, tried: &Tried, picks: usize) -> Vec<f64> {
    let mut rng = SplitMix64::with_seed(42);
    let mut counts = vec![0.0; snapshot.set().len()];
    for _ in 0..picks {
        let picked = snapshot.pick_indexed(&mut PickArgs::new(&epoch(), &mut rng, tried));
        let (at, pick) = picked.expect("an endpoint");
        counts[at] += 1.0;
        pick.complete(Outcome::Success, epoch());
    }
    counts
}

/// The index that the next request picks after it has tried `tried`.
fn choose(snapshot: &Snapshot, tried: &Tried) -> Result<usize, PickError> {
    let picked = snapshot.pick_indexed(&mut PickArgs::new(&epoch(), &mut SplitMix64::with_seed(7), tried));
    picked.map(|(at, _)| at)
}

/// Starts a request to the endpoint with this index.
fn start(snapshot: &Snapshot, at: usize) -> Pick {
    Pick::start(snapshot.loaded_endpoints()[at].clone(), None)
}
