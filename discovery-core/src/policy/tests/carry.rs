//! What survives an update, and what a pick reports.

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use super::*;
use crate::endpoint::Identity;

fn next(before: &Snapshot, of: impl IntoIterator<Item = Endpoint>) -> Snapshot {
    before.next(Arc::new(of.into_iter().collect()), &LeastRequest::new(), 1)
}

fn load_of<'a>(snapshot: &'a Snapshot, identity: &Identity) -> &'a Arc<Load> {
    snapshot.loaded_endpoints().iter().find(|loaded| loaded.identity() == identity).expect("in the set").load()
}

#[test]
fn an_update_keeps_loads_by_identity() {
    let before = snapshot([1, 2, 4, 6].map(endpoint).into_iter().collect(), &LeastRequest::new());
    let _picks: Vec<_> = (0..4).map(|at| start(&before, at)).collect();
    let after = next(&before, [endpoint(0), endpoint(2).with_weight(7), endpoint(3), endpoint(6), endpoint(7)]);
    let in_flight: Vec<_> = after.loaded_endpoints().iter().map(|loaded| loaded.load().in_flight()).collect();
    assert_eq!(in_flight, [0, 1, 0, 1, 0]);
    assert_eq!(after.loaded_endpoints()[1].endpoint().weight(), 7);
    assert!(
        Arc::ptr_eq(&after.loaded_endpoints()[3], &before.loaded_endpoints()[3]),
        "an unchanged endpoint is not copied"
    );
}

#[test]
fn an_address_that_returns_as_another_pod_gets_an_empty_load() {
    let hostname = |name: &str| endpoint(1).with_hostname(name.parse().expect("a host name"));
    let others = [hostname("web-1"), endpoint(1).with_uid("b"), endpoint(1)];
    let first = hostname("web-0").with_uid("a");
    for other in others {
        let before = snapshot([first.clone()].into_iter().collect(), &LeastRequest::new());
        let pick = start(&before, 0);
        let after = next(&before, [other]);
        assert_eq!(after.loaded_endpoints()[0].load().in_flight(), 0);
        pick.complete(Outcome::Failure, epoch());
        assert_eq!(
            after.loaded_endpoints()[0].load().value(epoch()),
            0,
            "a request to the old pod says nothing about the new one"
        );
    }
}

#[test]
fn an_endpoint_that_returns_gets_an_empty_load() {
    let before = snapshot([endpoint(1)].into_iter().collect(), &LeastRequest::new());
    start(&before, 0).complete(Outcome::Failure, epoch());
    let after = next(&next(&before, []), [endpoint(1)]);
    assert_eq!(load_of(&after, endpoint(1).identity()).value(epoch()), 0);
}

#[test]
fn a_pick_updates_the_load_in_the_next_snapshot_and_outlives_all() {
    let before = snapshot([endpoint(1)].into_iter().collect(), &LeastRequest::new());
    let pick = Pick::start(before.loaded_endpoints()[0].clone(), Some(epoch()));
    let after = next(&before, [endpoint(1).with_weight(2)]);
    drop(before);
    let load = after.loaded_endpoints()[0].load().clone();
    drop(after);
    assert_eq!(pick.endpoint().weight(), 1);
    assert_eq!(pick.started(), Some(epoch()));
    pick.complete(Outcome::Overloaded { retry_after: Some(Duration::from_secs(60)) }, epoch());
    assert_eq!((load.in_flight(), load.penalty(epoch() + Duration::from_secs(59))), (0, 1));
}

#[derive(Debug, Default)]
struct Counter(AtomicUsize);

impl Listener for Counter {
    fn unreachable(&self, endpoint: &Endpoint) {
        assert_eq!(endpoint.addr().port(), 80);
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn the_listener_hears_of_connect_errors_only_in_every_snapshot() {
    let counter = Arc::new(Counter::default());
    let set = Arc::new(weighted(&[1]));
    let first = Snapshot::new(set, &RoundRobin::new(), epoch(), 0, Some(counter.clone()));
    let second = next(&first, [endpoint(0), endpoint(1)]);
    let outcomes =
        [Outcome::Success, Outcome::Failure, Outcome::Overloaded { retry_after: None }, Outcome::Unreachable];
    for at in 0..2 {
        for outcome in outcomes {
            start(&second, at).complete(outcome, epoch());
        }
        drop(start(&second, at));
    }
    assert_eq!(counter.0.load(Relaxed), 2);
}

#[test]
fn tried_endpoints_stay_excluded_across_an_update() {
    let before = snapshot([1, 2].map(endpoint).into_iter().collect(), &RoundRobin::new());
    let mut tried = Tried::new();
    tried.add(before.set()[1].identity());
    tried.add(before.set()[1].identity());
    assert_eq!(tried.len(), 1);
    let after = next(&before, [0, 2].map(endpoint));
    assert!((0..20).all(|_| choose(&after, &tried) == Ok(0)));
}
