//! Connect failures and news.

use super::*;

#[test]
fn f9_a_connect_failure_brings_the_question_forward() {
    let mut sim = Sim::with_good(&[1, 2]);
    let asked = sim.now;
    sim.now += ms(200);
    assert!(sim.refresh.on_unreachable(endpoint(1).identity(), sim.now).is_none(), "the set is good");
    assert_eq!(sim.refresh.next_query_at(), Some(asked + secs(1)), "once a second");
    sim.now += secs(5);
    sim.begin();
    assert!(sim.answer(&ready(&[1, 2])).is_none());
    sim.now += secs(5);
    sim.refresh.on_unreachable(endpoint(1).identity(), sim.now);
    assert_eq!(sim.pause(), Duration::ZERO, "at once");
}

#[test]
fn f9_steady_connect_failures_ask_once_a_second() {
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

#[test]
fn f9_a_failure_during_a_question_is_not_settled_by_its_answer() {
    let mut sim = Sim::with_good(&[1, 2]);
    sim.begin();
    let asked = sim.now;
    sim.now += ms(10);
    sim.refresh.on_unreachable(endpoint(1).identity(), sim.now);
    sim.answer(&ready(&[1, 2]));
    assert_eq!(sim.refresh.next_query_at(), Some(asked + secs(1)));
}

#[test]
fn f9_an_unreachable_endpoint_of_a_stale_set_is_ejected() {
    let mut sim = Sim::with_good(&[1, 2]);
    sim.ask(&failed());
    let view = sim.refresh.on_unreachable(endpoint(1).identity(), sim.now).expect("a new set");
    assert_eq!((shown(&view), view.set.version(), view.standing.is_stale()), (vec![2], 2, true));
    assert!(sim.refresh.on_unreachable(endpoint(2).identity(), sim.now).is_none(), "the last one stays");
    sim.ask(&failed());
    assert_eq!(sim.shown(), [2]);
    sim.ask(&ready(&[1, 2]));
    assert_eq!(sim.shown(), [1, 2], "an answer names it again");
}

/// A network that is cut looks like dead endpoints, all of them: the set must not melt down to the one whose
/// failure was told last.
#[test]
fn f9_at_most_half_of_a_stale_set_is_left_out() {
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

#[test]
fn f9_what_was_left_out_of_a_stale_set_comes_back_after_ten_seconds() {
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
    assert!(sim.now - out <= secs(15), "with the next failed answer");
    assert!(sim.shown().contains(&1) && sim.standing().is_stale(), "{:?}", sim.shown());
    while sim.now - out < secs(14) {
        sim.ask(&failed());
    }
    assert_eq!(sim.shown(), [1, 2, 3, 4]);
    // As far as it goes it can be left out again, and an answer brings back all that it names.
    sim.refresh.on_unreachable(endpoint(1).identity(), sim.now);
    assert_eq!(sim.shown(), [2, 3, 4]);
    sim.refresh.on_early(&ready(&[1]), sim.now);
    assert_eq!(sim.shown(), [1, 2, 3, 4], "once");
    sim.refresh.on_unreachable(endpoint(1).identity(), sim.now);
    sim.ask(&ready(&[3, 4, 5]));
    sim.now += secs(2);
    sim.ask(&ready(&[3, 4, 5]));
    sim.now += secs(60);
    sim.ask(&failed());
    assert_eq!(sim.shown(), [3, 4, 5], "what an answer has removed does not come back");
}

#[test]
fn f9_an_unreachable_endpoint_that_the_last_answer_lacks_is_ejected() {
    let mut sim = Sim::with_good(&[1, 2]);
    sim.ask(&ready(&[1]));
    assert!(sim.refresh.on_unreachable(endpoint(1).identity(), sim.now).is_none());
    let view = sim.refresh.on_unreachable(endpoint(2).identity(), sim.now).expect("a new set");
    assert_eq!(shown(&view), [1]);
    assert!(sim.ask(&ready(&[1])).is_none());
}

#[test]
fn f9_an_unreachable_endpoint_of_a_lost_name_is_ejected() {
    let mut sim = Sim::with_good(&[1, 2]);
    sim.ask(&not_found());
    assert!(sim.refresh.on_unreachable(endpoint(1).identity(), sim.now).is_some());
    assert_eq!(sim.shown(), [2]);
}

#[test]
fn f9_an_endpoint_that_is_not_in_the_set_changes_nothing() {
    let mut sim = Sim::with_good(&[1]);
    sim.now += secs(5);
    let before = sim.refresh.next_query_at();
    assert!(sim.refresh.on_unreachable(endpoint(9).identity(), sim.now).is_none());
    assert_eq!(sim.refresh.next_query_at(), before);
}

#[test]
fn news_ask_at_once_and_a_burst_of_them_fifty_times_a_second() {
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
    assert_eq!(sim.pause(), Duration::ZERO, "news during a question are not settled by its answer");
}

#[test]
fn requests_to_refresh_ask_once_a_second_however_many_there_are() {
    let mut sim = Sim::with_good(&[1]);
    let asked = sim.now;
    for _ in 0..100 {
        sim.now += ms(1);
        sim.refresh.on_request(sim.now);
        assert_eq!(sim.refresh.next_query_at(), Some(asked + secs(1)));
    }
    sim.now += secs(5);
    sim.refresh.on_request(sim.now);
    assert_eq!(sim.refresh.next_query_at(), Some(asked + secs(1)), "overdue: now");
}
