//! No such name, no endpoints.

use super::*;

#[test]
fn f6_a_lost_name_is_asked_for_once_more_before_it_is_believed() {
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
        assert!(view.set.is_empty() && is_it(&view.standing), "{view:?}");
        assert_eq!(view.set.version(), 2);
        assert!(sim.pause() <= secs(5), "polling continues");
    }
}

#[test]
fn f6_no_name_and_no_endpoints_confirm_each_other() {
    let mut sim = Sim::with_good(&[1]);
    sim.ask(&not_found());
    assert!(sim.ask(&empty()).is_some_and(|view| matches!(view.standing, Freshness::Empty)));
}

#[test]
fn f6_a_good_answer_in_between_restores_without_a_trace() {
    let mut sim = Sim::with_good(&[1]);
    for _ in 0..3 {
        assert!(sim.ask(&not_found()).is_none());
        assert!(sim.ask(&ready(&[1])).is_none());
    }
    assert_eq!(sim.version(), 1);
}

#[test]
fn f6_a_failure_in_between_confirms_nothing() {
    let mut sim = Sim::with_good(&[1]);
    sim.ask(&not_found());
    for _ in 0..5 {
        sim.ask(&failed());
        assert_eq!(sim.shown(), [1]);
    }
    assert!(sim.standing().is_stale());
    sim.ask(&not_found());
    assert!(matches!(sim.standing(), Freshness::NotFound));
}

#[test]
fn f6_a_question_that_began_too_soon_confirms_nothing() {
    let mut sim = Sim::with_good(&[1]);
    sim.ask(&not_found());
    let first = sim.now;
    sim.refresh.on_change(sim.now);
    sim.ask_within(&not_found(), secs(2));
    assert_eq!(sim.shown(), [1], "asked after 100 ms, answered after 2 s");
    sim.ask(&not_found());
    assert_eq!(sim.shown(), [0_u8; 0]);
    assert!(sim.now - first >= secs(1));
}

#[test]
fn f5_without_a_set_it_is_told_at_once() {
    for update in [not_found(), empty()] {
        let mut sim = Sim::new();
        let view = sim.ask(&update).expect("another standing");
        assert!(view.set.is_empty() && view.set.version() == 1);
        assert!(matches!(view.standing, Freshness::NotFound | Freshness::Empty));
        assert!(sim.ask(&update).is_none(), "and once");
        assert_eq!(sim.version(), 1);
    }
}

#[test]
fn f5_while_nobody_waits_the_pause_grows_to_5_s() {
    let mut sim = Sim::new();
    for (low, high) in [(1000, 1150), (1600, 2000), (3200, 4000), (4000, 5000), (4000, 5000)] {
        sim.ask(&not_found());
        assert!(sim.pause() >= ms(low) && sim.pause() <= ms(high), "{low}: {:?}", sim.pause());
    }
    sim.ask(&not_found().with_ttl(secs(2)));
    assert!(sim.pause() <= secs(2), "a shorter negative TTL counts");
    sim.ask(&not_found().with_ttl(Duration::ZERO));
    assert!(sim.pause() >= secs(1), "down to the ceiling");
    sim.ask(&ready(&[1]));
    sim.ask(&not_found());
    sim.ask(&not_found());
    assert!(sim.pause() <= ms(1150), "after a good answer it begins anew");
}

#[test]
fn f5_a_service_created_after_2_s_is_found_within_2_s_while_somebody_waits() {
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

#[test]
fn f5_who_begins_to_wait_brings_the_question_forward() {
    let mut sim = Sim::new();
    for _ in 0..5 {
        sim.ask(&not_found());
    }
    let asked = sim.now;
    sim.now += ms(300);
    sim.refresh.on_waiting(true, sim.now);
    assert_eq!(sim.refresh.next_query_at(), Some(asked + secs(1)), "but not above one question a second");
    sim.now += secs(3);
    sim.refresh.on_waiting(true, sim.now);
    assert_eq!(sim.refresh.next_query_at(), Some(asked + secs(1)));
    sim.ask(&not_found());
    assert!(sim.pause() <= ms(1150));
    sim.refresh.on_waiting(false, sim.now);
    sim.ask(&not_found());
    assert!(sim.pause() >= secs(4), "nobody waits any more");
}

#[test]
fn f6_an_unconfirmed_loss_and_then_failures_end_at_max_stale() {
    let mut sim = Sim::with_good(&[1]);
    sim.ask(&not_found());
    sim.now += secs(301);
    assert!(sim.ask(&failed()).is_some_and(|view| matches!(view.standing, Freshness::Failed(_))));
}
