//! Failed queries: a transient failure does not empty the set.

use super::*;

/// F6.
#[test]
fn a_failure_keeps_the_set_and_marks_it_stale() {
    let mut sim = Sim::with_good(&[1, 2]);
    let good = sim.now;
    let view = sim.ask(&failed()).expect("a new freshness");
    assert_eq!((shown(&view), view.set.version()), (vec![1, 2], 1));
    let Freshness::Stale { since, error } = &view.freshness else { panic!("{:?}", view.freshness) };
    assert_eq!(*since, good);
    assert!(error.is_transient());
}

/// F6.
#[test]
fn failures_are_retried_after_100_ms_doubling_to_5_s() {
    let mut sim = Sim::with_good(&[1]);
    for step in [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000] {
        sim.ask(&failed());
        assert!(sim.pause() >= ms(step * 8 / 10) && sim.pause() <= ms(step), "{step}: {:?}", sim.pause());
    }
    sim.ask(&ready(&[1]));
    assert!(matches!(sim.freshness(), Freshness::Fresh), "recovers within one backoff step");
    sim.ask(&failed());
    assert!(sim.pause() <= ms(100), "the backoff restarts");
}

/// F6.
#[test]
fn no_caller_sees_an_error_before_max_stale() {
    let mut sim = Sim::with_good(&[1]);
    let good = sim.now;
    while sim.now + sim.pause() <= good + secs(300) {
        sim.ask(&failed());
        assert_eq!(sim.shown(), [1]);
    }
    sim.ask(&failed());
    assert_eq!(sim.shown(), [0_u8; 0]);
}

/// F9.
#[test]
fn a_set_older_than_max_stale_is_dropped_by_the_next_failure() {
    let mut sim = Sim::with_good(&[1]);
    sim.now += secs(300);
    assert!(sim.ask(&failed()).is_some_and(|view| view.freshness.is_stale()), "not older yet");
    sim.now += ms(1);
    let view = sim.ask(&failed()).expect("a new set");
    assert_eq!((view.set.len(), view.set.version()), (0, 2));
    assert!(matches!(view.freshness, Freshness::Failed(_)));
    let view = sim.ask(&ready(&[1])).expect("a new set");
    assert_eq!((shown(&view), view.set.version()), (vec![1], 3));
}

/// F9.
#[test]
fn time_alone_drops_nothing() {
    let mut sim = Sim::with_good(&[1]);
    sim.now += secs(3 * 3600);
    assert_eq!((sim.shown(), sim.pause()), (vec![1], Duration::ZERO));
    sim.refresh.on_waiting(true, sim.now);
    sim.refresh.on_unreachable(endpoint(1).identity(), sim.now);
    sim.refresh.on_change(sim.now);
    assert_eq!(sim.shown(), [1]);
    assert!(sim.ask(&ready(&[1])).is_none(), "three hours of sleep change nothing");
}

/// F9.
#[test]
fn the_first_failure_after_three_hours_of_sleep_drops_the_set() {
    let mut sim = Sim::with_good(&[1]);
    sim.now += secs(3 * 3600);
    let view = sim.ask(&failed()).expect("a new set");
    assert!(view.set.is_empty() && matches!(view.freshness, Freshness::Failed(_)));
}

/// F9.
#[test]
fn an_answer_without_a_ttl_ages_from_the_first_failure() {
    let mut sim = Sim::new();
    sim.ask(&Update::new(State::Ready(vec![endpoint(1)])));
    sim.now += secs(3600);
    sim.refresh.on_change(sim.now);
    sim.ask(&failed());
    assert_eq!(sim.shown(), [1]);
    assert!(matches!(sim.freshness(), Freshness::Stale { since, .. } if *since == sim.now));
    sim.now += secs(301);
    sim.ask(&failed());
    assert_eq!(sim.shown(), [0_u8; 0]);
}

/// F6.
#[test]
fn a_failure_without_endpoints_is_published_and_retried_with_the_same_backoff() {
    let mut sim = Sim::new();
    let view = sim.ask(&failed()).expect("a new freshness");
    assert!(view.set.is_empty() && matches!(view.freshness, Freshness::Failed(_)));
    assert_eq!(view.set.version(), 1);
    assert!(sim.pause() <= ms(100));
    sim.ask(&failed());
    assert!(sim.pause() > ms(100) && sim.pause() <= ms(200));
    assert_eq!(sim.version(), 1);
}

/// F6.
#[test]
fn each_failure_publishes_its_own_reason() {
    let mut sim = Sim::with_good(&[1]);
    sim.ask(&failed());
    let view = sim.ask(&Update::new(State::Failed(Error::transient("REFUSED")))).expect("a new reason");
    assert!(view.freshness.error().is_some_and(|e| e.to_string().contains("REFUSED")));
}

/// F6.
#[test]
fn a_negative_answer_resets_the_failure_backoff() {
    let mut sim = Sim::new();
    for _ in 0..5 {
        sim.ask(&failed());
    }
    sim.ask(&not_found());
    sim.ask(&failed());
    assert!(sim.pause() <= ms(100));
}
