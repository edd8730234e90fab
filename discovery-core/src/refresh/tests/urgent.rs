//! Connect errors and changes that the source reports.

use super::*;

/// F9.
#[test]
fn a_connect_error_brings_the_query_forward() {
    let mut sim = Sim::with_good(&[1, 2]);
    let asked = sim.now;
    sim.now += ms(200);
    assert!(
        sim.refresh.on_unreachable(endpoint(1).identity(), sim.now).is_none(),
        "the last answer contains the endpoint"
    );
    assert_eq!(sim.refresh.next_query_at(), Some(asked + secs(1)), "at most one query per second");
    sim.now += secs(5);
    sim.begin();
    assert!(sim.answer(&ready(&[1, 2])).is_none());
    sim.now += secs(5);
    sim.refresh.on_unreachable(endpoint(1).identity(), sim.now);
    assert_eq!(sim.pause(), Duration::ZERO, "at once");
}

/// F9.
#[test]
fn steady_connect_errors_cause_one_query_per_second() {
    let mut sim = Sim::with_good(&[1, 2]);
    sim.asked.clear();
    for _ in 0..200 {
        sim.now += ms(50);
        sim.refresh.on_unreachable(endpoint(1).identity(), sim.now);
        if sim.pause().is_zero() {
            sim.ask(&ready(&[1, 2]));
        }
    }
    assert_eq!(sim.asked.len(), 10);
}

/// F9.
#[test]
fn the_answer_to_an_earlier_query_does_not_clear_a_connect_error() {
    let mut sim = Sim::with_good(&[1, 2]);
    sim.begin();
    let asked = sim.now;
    sim.now += ms(10);
    sim.refresh.on_unreachable(endpoint(1).identity(), sim.now);
    sim.answer(&ready(&[1, 2]));
    assert_eq!(sim.refresh.next_query_at(), Some(asked + secs(1)));
}

/// F9.
#[test]
fn an_unreachable_endpoint_of_a_stale_set_is_ejected() {
    let mut sim = Sim::with_good(&[1, 2]);
    sim.ask(&failed());
    let view = sim.refresh.on_unreachable(endpoint(1).identity(), sim.now).expect("a new set");
    assert_eq!((shown(&view), view.set.version(), view.freshness.is_stale()), (vec![2], 2, true));
    assert!(sim.refresh.on_unreachable(endpoint(2).identity(), sim.now).is_none(), "the last one stays");
    sim.ask(&failed());
    assert_eq!(sim.shown(), [2]);
    sim.ask(&ready(&[1, 2]));
    assert_eq!(sim.shown(), [1, 2], "an answer contains it again");
}

/// F18.
#[cfg(feature = "resolver")]
#[test]
fn a_first_answer_is_more_urgent_than_a_requested_round_and_that_than_a_refresh() {
    use crate::source::Urgency;

    let mut sim = Sim::new();
    assert_eq!(sim.refresh.urgency(), Urgency::FirstAnswer);
    sim.begin();
    assert_eq!(sim.refresh.urgency(), Urgency::FirstAnswer, "the query in flight");
    sim.answer(&ready(&[1, 2]));
    assert_eq!(sim.refresh.urgency(), Urgency::Refresh);
    sim.begin();
    sim.refresh.on_unreachable(endpoint(1).identity(), sim.now);
    assert_eq!(sim.refresh.urgency(), Urgency::Requested, "a connect error during a refresh");
    sim.answer(&ready(&[1, 2]));
    assert_eq!(sim.refresh.urgency(), Urgency::Requested, "the answer was already on its way");
    sim.begin();
    assert_eq!(sim.refresh.urgency(), Urgency::Refresh);
    sim.answer(&failed());
    assert_eq!(sim.refresh.urgency(), Urgency::Refresh, "there are endpoints to use");

    let mut sim = Sim::new();
    sim.ask(&failed());
    assert_eq!(sim.refresh.urgency(), Urgency::Requested);
    sim.ask(&not_found());
    assert_eq!(sim.refresh.urgency(), Urgency::Refresh);
    sim.refresh.on_waiting(true, sim.now);
    assert_eq!(sim.refresh.urgency(), Urgency::FirstAnswer, "a caller waits");
}

/// F9: if the network is cut, every endpoint looks dead. The set must not shrink to the endpoint that failed last.
#[test]
fn at_most_half_of_a_stale_set_is_ejected() {
    for (size, left) in [(1, 1), (2, 1), (3, 2), (4, 2), (9, 5), (10, 5)] {
        for outage in [failed(), not_found()] {
            let all: Vec<u8> = (1..=size).collect();
            let mut sim = Sim::with_good(&all);
            sim.ask(&outage);
            for last in &all {
                sim.refresh.on_unreachable(endpoint(*last).identity(), sim.now);
            }
            assert_eq!(sim.shown().len(), left, "of {size}");
        }
    }
}

/// F9.
#[test]
fn an_endpoint_ejected_from_a_stale_set_returns_after_10_s() {
    let mut sim = Sim::with_good(&[1, 2, 3, 4]);
    sim.ask(&failed());
    let out = sim.now;
    sim.refresh.on_unreachable(endpoint(1).identity(), sim.now);
    sim.now += secs(4);
    sim.refresh.on_unreachable(endpoint(2).identity(), sim.now);
    while sim.now - out < secs(10) {
        assert_eq!(sim.shown(), [3, 4]);
        sim.ask(&failed());
    }
    assert!(sim.now - out <= secs(15), "it returns with the next failed answer");
    assert!(sim.shown().contains(&1) && sim.freshness().is_stale(), "{:?}", sim.shown());
    while sim.now - out < secs(14) {
        sim.ask(&failed());
    }
    assert_eq!(sim.shown(), [1, 2, 3, 4]);
    // A readmitted endpoint can be ejected again, and an answer brings back every endpoint that it contains.
    sim.refresh.on_unreachable(endpoint(1).identity(), sim.now);
    assert_eq!(sim.shown(), [2, 3, 4]);
    sim.refresh.on_early(&ready(&[1]), sim.now);
    assert_eq!(sim.shown(), [1, 2, 3, 4], "each endpoint once");
    sim.refresh.on_unreachable(endpoint(1).identity(), sim.now);
    sim.ask(&ready(&[3, 4, 5]));
    sim.now += secs(2);
    sim.ask(&ready(&[3, 4, 5]));
    sim.now += secs(60);
    sim.ask(&failed());
    assert_eq!(sim.shown(), [3, 4, 5], "an endpoint that an answer removed does not return");
}

/// F9.
#[test]
fn an_unreachable_endpoint_that_the_last_answer_lacks_is_removed() {
    let mut sim = Sim::with_good(&[1, 2]);
    sim.ask(&ready(&[1]));
    assert!(sim.refresh.on_unreachable(endpoint(1).identity(), sim.now).is_none());
    let view = sim.refresh.on_unreachable(endpoint(2).identity(), sim.now).expect("a new set");
    assert_eq!(shown(&view), [1]);
    assert!(sim.ask(&ready(&[1])).is_none());
}

/// F9.
#[test]
fn an_unreachable_endpoint_is_ejected_after_an_unconfirmed_negative_answer() {
    let mut sim = Sim::with_good(&[1, 2]);
    sim.ask(&not_found());
    assert!(sim.refresh.on_unreachable(endpoint(1).identity(), sim.now).is_some());
    assert_eq!(sim.shown(), [2]);
}

/// F9.
#[test]
fn an_unknown_endpoint_changes_nothing() {
    let mut sim = Sim::with_good(&[1]);
    sim.now += secs(5);
    let before = sim.refresh.next_query_at();
    assert!(sim.refresh.on_unreachable(endpoint(9).identity(), sim.now).is_none());
    assert_eq!(sim.refresh.next_query_at(), before);
}

#[test]
fn a_change_causes_a_query_at_once_and_a_burst_at_most_fifty_per_second() {
    let mut sim = Sim::with_good(&[1]);
    let asked = sim.now;
    sim.now += ms(5);
    sim.refresh.on_change(sim.now);
    assert_eq!(sim.refresh.next_query_at(), Some(asked + ms(20)));
    sim.now += secs(2);
    sim.ask(&ready(&[1]));
    assert!(sim.pause() >= secs(24));
    sim.begin();
    sim.refresh.on_change(sim.now);
    sim.now += secs(1);
    sim.answer(&ready(&[1]));
    assert_eq!(sim.pause(), Duration::ZERO, "the answer to an earlier query does not clear a change");
}

#[test]
fn any_number_of_refresh_requests_causes_one_query_per_second() {
    let mut sim = Sim::with_good(&[1]);
    let asked = sim.now;
    for _ in 0..100 {
        sim.now += ms(1);
        sim.refresh.on_request(sim.now);
        assert_eq!(sim.refresh.next_query_at(), Some(asked + secs(1)));
    }
    sim.now += secs(5);
    sim.refresh.on_request(sim.now);
    assert_eq!(sim.refresh.next_query_at(), Some(asked + secs(1)), "overdue, so due now");
}
