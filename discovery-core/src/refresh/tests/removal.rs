//! Additions are immediate, removals are confirmed.

use std::{collections::BTreeMap, sync::Arc};

use super::*;

/// F8.
#[test]
fn a_different_order_or_ttl_publishes_nothing() {
    let mut sim = Sim::with_good(&[1, 2, 3]);
    let before = Arc::clone(&sim.refresh.view().set);
    assert!(sim.ask(&ready(&[3, 1, 2, 1]).with_ttl(secs(5))).is_none());
    assert!(sim.ask(&ready(&[2, 3, 1])).is_none());
    assert!(Arc::ptr_eq(&before, &sim.refresh.view().set));
    assert_eq!(sim.version(), 1);
}

/// F8.
#[test]
fn a_new_freshness_keeps_the_set_and_its_version() {
    let mut sim = Sim::with_good(&[1]);
    let before = Arc::clone(&sim.refresh.view().set);
    let stale = sim.ask(&failed()).expect("a new freshness");
    assert!(stale.freshness.is_stale() && Arc::ptr_eq(&before, &stale.set));
    let fresh = sim.ask(&ready(&[1])).expect("a new freshness");
    assert!(matches!(fresh.freshness, Freshness::Fresh) && Arc::ptr_eq(&before, &fresh.set));
}

/// F10.
#[test]
fn an_addition_is_published_at_once() {
    let mut sim = Sim::with_good(&[1]);
    let view = sim.ask(&ready(&[1, 2])).expect("a new set");
    assert_eq!((shown(&view), view.set.version()), (vec![1, 2], 2));
}

/// F10.
#[test]
fn a_removal_waits_for_a_second_answer() {
    let mut sim = Sim::with_good(&[1, 2]);
    assert!(sim.ask(&ready(&[1])).is_none());
    assert_eq!(sim.shown(), [1, 2]);
    assert_eq!(sim.pause(), secs(1), "the next query is due when the hold ends");
    let view = sim.ask(&ready(&[1])).expect("a new set");
    assert_eq!(shown(&view), [1]);
    assert!(sim.pause() >= secs(24), "then the TTL counts again");
}

/// F10.
#[test]
fn a_second_answer_within_the_hold_does_not_remove_an_endpoint() {
    let mut sim = Sim::with_good(&[1, 2]);
    sim.ask(&ready(&[1]));
    sim.refresh.on_change(sim.now);
    sim.ask(&ready(&[1]));
    assert_eq!(sim.shown(), [1, 2]);
    assert_eq!(sim.elapsed() + sim.pause(), sim.asked[1] + ms(1020), "at most one query per second");
    sim.ask(&ready(&[1]));
    assert_eq!(sim.shown(), [1]);
}

/// F10.
#[test]
fn an_endpoint_that_reappears_cancels_its_hold() {
    let mut sim = Sim::with_good(&[1, 2]);
    sim.ask(&ready(&[1]));
    assert!(sim.ask(&ready(&[1, 2])).is_none());
    assert!(sim.pause() >= secs(24));
    sim.ask(&ready(&[1]));
    assert_eq!(sim.shown(), [1, 2], "a new hold begins");
}

/// F10.
#[test]
fn a_failure_neither_ends_nor_confirms_a_hold() {
    let mut sim = Sim::with_good(&[1, 2]);
    sim.ask(&ready(&[1]));
    sim.ask(&failed());
    assert_eq!(sim.shown(), [1, 2]);
    sim.ask(&ready(&[1]));
    assert_eq!(sim.shown(), [1]);
}

/// F10.
#[test]
fn replicas_that_disagree_for_3_s_cause_one_change_per_endpoint() {
    for (old, new) in [(vec![1, 2], vec![1, 3]), (vec![1], vec![2]), (vec![1, 2, 3], vec![1])] {
        let mut sim = Sim::with_good(&old);
        let mut added: BTreeMap<u8, u32> = BTreeMap::new();
        let mut removed = added.clone();
        let mut before = sim.shown();
        let began = sim.now + sim.pause();
        let mut flip = false;
        while sim.now < began + secs(10) {
            let settled = sim.now + sim.pause() >= began + secs(3);
            flip = settled || !flip;
            sim.ask(&ready(if flip { &new } else { &old }).with_ttl(secs(1)));
            let after = sim.shown();
            after.iter().filter(|e| !before.contains(e)).for_each(|e| *added.entry(*e).or_default() += 1);
            before.iter().filter(|e| !after.contains(e)).for_each(|e| *removed.entry(*e).or_default() += 1);
            before = after;
        }
        assert_eq!(sim.shown(), new);
        assert!(added.values().chain(removed.values()).all(|n| *n == 1), "{added:?} {removed:?}");
    }
}

/// F10.
#[test]
fn a_new_weight_or_zone_is_published_at_once() {
    let mut sim = Sim::with_good(&[1, 2]);
    let heavy = Update::new(State::Ready(vec![endpoint(1).with_weight(7).with_zone("a"), endpoint(2)]));
    let view = sim.ask(&heavy).expect("a new set");
    assert_eq!((view.set[0].weight(), view.set[0].zone(), view.set.version()), (7, Some("a"), 2));
}

/// F9.
#[test]
fn an_address_reused_by_another_pod_is_replaced_at_once() {
    let mut sim = Sim::new();
    let pod = |uid: &str| Update::new(State::Ready(vec![endpoint(1).with_uid(uid)])).with_ttl(secs(5));
    sim.ask(&pod("a"));
    let view = sim.ask(&pod("b")).expect("a new set");
    assert_eq!(view.set.iter().map(|e| e.identity().uid()).collect::<Vec<_>>(), [Some("b")]);
}

/// F10.
#[test]
fn without_a_hold_a_removal_is_immediate() {
    let mut sim = Sim::with(RefreshSettings::default().with_removal_hold(Duration::ZERO));
    sim.ask(&ready(&[1, 2]));
    assert_eq!(shown(&sim.ask(&ready(&[1])).expect("a new set")), [1]);
    assert!(sim.pause() >= secs(24));
}

/// F10.
#[test]
fn a_source_without_a_ttl_is_queried_again_before_a_removal() {
    let mut sim = Sim::new();
    let fixed = |of: &[u8]| Update::new(State::Ready(of.iter().map(|last| endpoint(*last)).collect()));
    sim.ask(&fixed(&[1, 2]));
    sim.now += secs(60);
    sim.refresh.on_change(sim.now);
    sim.ask(&fixed(&[1]));
    assert_eq!((sim.shown(), sim.pause()), (vec![1, 2], secs(1)));
    sim.ask(&fixed(&[1]));
    assert_eq!((sim.shown(), sim.refresh.next_query_at()), (vec![1], None));
}

#[test]
fn an_authoritative_answer_needs_no_confirmation() {
    let mut sim = Sim::with_good(&[1, 2]);
    assert_eq!(shown(&sim.ask(&ready(&[1]).with_authority()).expect("a new set")), [1]);
    let none = Update::new(State::Empty).with_authority();
    assert!(shown(&sim.ask(&none).expect("no endpoints")).is_empty());
    assert!(matches!(sim.freshness(), Freshness::Empty));
}

/// F15.
#[test]
fn no_address_is_published_twice_while_an_endpoint_gains_or_loses_its_second_address() {
    let v6 = std::net::SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), 80);
    let update = |endpoint| Update::new(State::Ready(vec![endpoint])).with_ttl(secs(30));
    let (one, other, both) = (endpoint(1), Endpoint::new(v6), endpoint(1).with_addr(v6));
    for (before, after) in [(&other, &both), (&one, &both), (&both, &other), (&both, &one)] {
        let mut sim = Sim::new();
        sim.ask(&update(before.clone()));
        let view = sim.ask(&update(after.clone())).expect("a new set");
        assert_eq!(*view.set, [after.clone()].into_iter().collect(), "from {before} to {after}");
    }
}
