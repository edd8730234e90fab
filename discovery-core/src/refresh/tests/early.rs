//! Answers that arrive in parts.

use super::*;

/// F15.
#[test]
fn an_early_answer_is_published_at_once() {
    let mut sim = Sim::new();
    sim.begin();
    let view = sim.refresh.on_early(&ready(&[1]), sim.now).expect("a new set");
    assert_eq!((shown(&view), view.set.version()), (vec![1], 1));
    assert!(matches!(view.freshness, Freshness::Fresh));
    assert_eq!(shown(&sim.answer(&ready(&[1, 2])).expect("a new set")), [1, 2]);
}

/// F15.
#[test]
fn an_early_answer_only_adds_endpoints() {
    let mut sim = Sim::with_good(&[1, 2]);
    sim.begin();
    let heavy = Update::new(State::Ready(vec![endpoint(1).with_weight(9), endpoint(3)]));
    let view = sim.refresh.on_early(&heavy, sim.now).expect("a new set");
    assert_eq!(shown(&view), [1, 2, 3]);
    assert_eq!(view.set[0].weight(), 1);
    assert!(sim.refresh.on_early(&heavy, sim.now).is_none());
    for nothing in [not_found(), empty(), failed(), Update::new(State::NotApplicable)] {
        assert!(sim.refresh.on_early(&nothing, sim.now).is_none());
    }
    assert!(sim.answer(&ready(&[1, 2, 3])).is_none());
}

/// F15.
#[test]
fn an_early_answer_does_not_end_the_query() {
    let mut sim = Sim::with_good(&[1]);
    sim.ask(&failed());
    sim.begin();
    let before = sim.refresh.next_query_at();
    sim.refresh.on_early(&ready(&[1, 2]), sim.now);
    assert!(sim.freshness().is_stale());
    assert_eq!(sim.refresh.next_query_at(), before);
}

/// F15.
#[test]
fn early_endpoints_survive_the_failure_of_the_rest() {
    let mut sim = Sim::new();
    sim.begin();
    sim.refresh.on_early(&ready(&[1]), sim.now);
    sim.answer(&failed());
    assert_eq!(sim.shown(), [1]);
    assert!(sim.freshness().is_stale());
}

/// F15.
#[test]
fn an_early_answer_does_not_repeat_known_addresses() {
    let mut sim = Sim::with_good(&[1]);
    let named = Update::new(State::Ready(vec![endpoint(1).with_uid("a")]));
    assert!(sim.refresh.on_early(&named, sim.now).is_none());
    sim.ask(&failed());
    assert!(sim.refresh.on_early(&ready(&[1]), sim.now).is_none());
    assert_eq!(sim.refresh.view().set.len(), 1);
}

/// F15.
#[test]
fn early_endpoints_after_a_loss_start_with_a_clean_history() {
    let lost = || {
        let mut sim = Sim::with_good(&[1, 2]);
        sim.ask(&ready(&[1]));
        sim.ask(&not_found());
        assert!(sim.ask(&not_found()).is_some_and(|view| view.set.is_empty()));
        sim.begin();
        sim.refresh.on_early(&ready(&[2, 3]), sim.now);
        sim
    };
    let mut sim = lost();
    assert!(sim.answer(&not_found()).is_none(), "a new loss needs a new confirmation");
    assert_eq!(sim.shown(), [2, 3]);
    let mut sim = lost();
    assert!(sim.answer(&ready(&[3])).is_none(), "a new removal starts a new hold");
    assert_eq!(sim.shown(), [2, 3]);
}

/// F15.
#[test]
fn the_second_address_of_an_endpoint_is_not_a_separate_endpoint() {
    let mut sim = Sim::new();
    let v6 = std::net::SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), 80);
    let both = Update::new(State::Ready(vec![endpoint(1).with_addr(v6)])).with_ttl(secs(30));
    let second = Update::new(State::Ready(vec![Endpoint::new(v6)])).with_ttl(secs(30));
    sim.ask(&both);
    sim.begin();
    assert!(sim.refresh.on_early(&second, sim.now).is_none(), "the address is known");
    assert!(sim.answer(&both).is_none());
}
