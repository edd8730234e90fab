//! Retained endpoints beside those of the newest answer.

use super::*;

/// A snapshot whose first `retained` of four endpoints are retained, and requests have succeeded on those in `used`.
fn rotated(policy: &dyn Policy, retained: usize, used: &[usize]) -> Snapshot {
    let before = snapshot((0..4).map(endpoint).collect(), policy);
    used.iter().for_each(|at| start(&before, *at).complete(Outcome::Success, epoch()));
    let set: EndpointSet = (0..4).map(|last| endpoint(last).with_retained(usize::from(last) < retained)).collect();
    before.next(Arc::new(set), policy, 7)
}

#[test]
fn requests_one_at_a_time_stay_at_one_retained_endpoint() {
    for policy in policies() {
        let snapshot = rotated(&*policy, 2, &[0, 1]);
        assert_eq!(counts(&snapshot, &Tried::new(), 100), [100.0, 0.0, 0.0, 0.0], "{policy:?}");
    }
}

#[test]
fn endpoints_of_the_newest_answer_that_have_connections_come_first() {
    for policy in policies() {
        let counts = counts(&rotated(&*policy, 2, &[0, 1, 2, 3]), &Tried::new(), 100);
        assert_eq!(counts[0] + counts[1], 0.0, "{policy:?}");
        assert!(counts[2] > 20.0 && counts[3] > 20.0, "{policy:?}: {counts:?}");
    }
}

#[test]
fn more_requests_at_once_than_before_go_to_the_newest_answer() {
    for policy in policies() {
        let snapshot = rotated(&*policy, 2, &[0, 1]);
        let at_once: Vec<Pick> = [0, 1].map(|at| start(&snapshot, at)).into();
        let counts = counts(&snapshot, &Tried::new(), 100);
        assert_eq!(counts[0] + counts[1], 0.0, "{policy:?}");
        drop(at_once);
    }
}

#[test]
fn a_failing_retained_endpoint_is_passed_over() {
    for policy in policies() {
        let snapshot = rotated(&*policy, 2, &[0, 1]);
        start(&snapshot, 0).complete(Outcome::Failure, epoch());
        assert_eq!(counts(&snapshot, &Tried::new(), 10)[..2], [0.0, 10.0], "{policy:?}");
    }
}

#[test]
fn a_retry_reaches_every_endpoint() {
    for policy in policies() {
        let snapshot = rotated(&*policy, 2, &[0, 2]);
        let mut tried = Tried::new();
        let mut reached = Vec::new();
        while let Ok(at) = choose(&snapshot, &tried) {
            tried.add(snapshot.set()[at].identity());
            reached.push(at);
        }
        assert_eq!(reached[..2], [2, 0], "{policy:?}: {reached:?}");
        reached.sort_unstable();
        assert_eq!(reached, [0, 1, 2, 3], "{policy:?}");
    }
}

#[test]
fn retained_endpoints_alone_are_balanced_as_any() {
    for policy in policies() {
        let counts = counts(&rotated(&*policy, 4, &[0, 1, 2, 3]), &Tried::new(), 200);
        assert!(counts.iter().all(|count| *count > 20.0), "{policy:?}: {counts:?}");
    }
}
