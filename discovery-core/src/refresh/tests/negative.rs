//! Negative answers: no such name, no endpoints.

use super::*;

/// F6.
#[test]
fn a_negative_answer_after_endpoints_is_confirmed_by_a_second_query() {
    for (update, is_it) in [
        (not_found(), (|s| matches!(s, Freshness::NotFound)) as fn(&Freshness) -> bool),
        (empty(), |s| matches!(s, Freshness::Empty)),
        (Update::new(State::NotApplicable), |s| matches!(s, Freshness::NotFound)),
        (Update::new(State::Ready(vec![])), |s| matches!(s, Freshness::Empty)),
    ] {
        let mut sim = Sim::with_good(&[1]);
        assert!(sim.ask(&update).is_none());
        assert_eq!((sim.shown(), sim.pause()), (vec![1], secs(1)));
        let view = sim.ask(&update).expect("a new set");
        assert!(view.set.is_empty() && is_it(&view.freshness), "{view:?}");
        assert_eq!(view.set.version(), 2);
        assert!(sim.pause() <= secs(5), "polling continues");
    }
}

/// F6.
#[test]
fn not_found_and_empty_confirm_each_other() {
    let mut sim = Sim::with_good(&[1]);
    sim.ask(&not_found());
    assert!(sim.ask(&empty()).is_some_and(|view| matches!(view.freshness, Freshness::Empty)));
}

/// F6.
#[test]
fn a_positive_answer_in_between_cancels_the_confirmation() {
    let mut sim = Sim::with_good(&[1]);
    for _ in 0..3 {
        assert!(sim.ask(&not_found()).is_none());
        assert!(sim.ask(&ready(&[1])).is_none());
    }
    assert_eq!(sim.version(), 1);
}

/// F6.
#[test]
fn a_failure_in_between_does_not_confirm_a_negative_answer() {
    let mut sim = Sim::with_good(&[1]);
    sim.ask(&not_found());
    for _ in 0..5 {
        sim.ask(&failed());
        assert_eq!(sim.shown(), [1]);
    }
    assert!(sim.freshness().is_stale());
    sim.ask(&not_found());
    assert!(matches!(sim.freshness(), Freshness::NotFound));
}

/// F6.
#[test]
fn a_query_that_began_too_soon_does_not_confirm_a_negative_answer() {
    let mut sim = Sim::with_good(&[1]);
    sim.ask(&not_found());
    let first = sim.now;
    sim.refresh.on_change(sim.now);
    sim.ask_within(&not_found(), secs(2));
    assert_eq!(sim.shown(), [1], "queried after 100 ms, answered after 2 s");
    sim.ask(&not_found());
    assert_eq!(sim.shown(), [0_u8; 0]);
    assert!(sim.now - first >= secs(1));
}

/// F5.
#[test]
fn without_endpoints_a_negative_answer_is_published_at_once() {
    for update in [not_found(), empty()] {
        let mut sim = Sim::new();
        let view = sim.ask(&update).expect("a new freshness");
        assert!(view.set.is_empty() && view.set.version() == 1);
        assert!(matches!(view.freshness, Freshness::NotFound | Freshness::Empty));
        assert!(sim.ask(&update).is_none(), "and only once");
        assert_eq!(sim.version(), 1);
    }
}

/// F5.
#[test]
fn without_waiting_callers_the_refresh_interval_grows_to_5_s() {
    let mut sim = Sim::new();
    for (low, high) in [(1000, 1150), (1600, 2000), (3200, 4000), (4000, 5000), (4000, 5000)] {
        sim.ask(&not_found());
        assert!(sim.pause() >= ms(low) && sim.pause() <= ms(high), "{low}: {:?}", sim.pause());
    }
    sim.ask(&not_found().with_ttl(secs(2)));
    assert!(sim.pause() <= secs(2), "a shorter negative TTL is honored");
    sim.ask(&not_found().with_ttl(Duration::ZERO));
    assert!(sim.pause() >= secs(1), "but at most one query per second");
    sim.ask(&ready(&[1]));
    sim.ask(&not_found());
    sim.ask(&not_found());
    assert!(sim.pause() <= ms(1150), "a positive answer resets the backoff");
}

/// F5.
#[test]
fn a_waiting_caller_gets_a_new_service_within_2_s_of_its_creation() {
    for seed in 0..100 {
        let mut sim = Sim::new();
        sim.seed = seed;
        sim.refresh.on_waiting(true, sim.now);
        let created = secs(2);
        while sim.shown().is_empty() {
            let exists = sim.elapsed() + sim.pause() >= created;
            sim.ask_within(&if exists { ready(&[1]) } else { not_found() }, ms(5));
        }
        assert!(sim.elapsed() <= created + secs(2), "{:?}", sim.elapsed());
        assert!(sim.asked.windows(2).all(|pair| pair[1] - pair[0] >= secs(1)), "{:?}", sim.asked);
    }
}

/// F5.
#[test]
fn a_caller_that_begins_to_wait_brings_the_query_forward() {
    let mut sim = Sim::new();
    for _ in 0..5 {
        sim.ask(&not_found());
    }
    let asked = sim.now;
    sim.now += ms(300);
    sim.refresh.on_waiting(true, sim.now);
    assert_eq!(sim.refresh.next_query_at(), Some(asked + secs(1)), "but at most one query per second");
    sim.now += secs(3);
    sim.refresh.on_waiting(true, sim.now);
    assert_eq!(sim.refresh.next_query_at(), Some(asked + secs(1)));
    sim.ask(&not_found());
    assert!(sim.pause() <= ms(1150));
    sim.refresh.on_waiting(false, sim.now);
    sim.ask(&not_found());
    assert!(sim.pause() >= secs(4), "no caller is waiting any more");
}

/// F6.
#[test]
fn an_unconfirmed_negative_answer_does_not_extend_max_stale() {
    let mut sim = Sim::with_good(&[1]);
    sim.ask(&not_found());
    sim.now += secs(301);
    assert!(sim.ask(&failed()).is_some_and(|view| matches!(view.freshness, Freshness::Failed(_))));
}
