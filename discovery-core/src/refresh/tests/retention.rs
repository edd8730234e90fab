//! Endpoints that outlive their answer, because requests on them succeed (F19).

use super::*;
use crate::source::AddressKind;

fn host(of: &[u8]) -> Update {
    ready(of).with_ttl(secs(2)).with_address_kind(AddressKind::Host)
}

fn virtual_address(last: u8) -> Update {
    ready(&[last]).with_address_kind(AddressKind::Virtual)
}

impl Sim {
    fn works(&mut self, of: &[u8]) {
        of.iter().for_each(|last| self.refresh.on_outcome(endpoint(*last).identity(), true, self.now));
    }

    fn retained(&self) -> Vec<u8> {
        let retained = |last: &u8| {
            let set = &self.refresh.view().set;
            set.get_by_identity(endpoint(*last).identity()).is_some_and(Endpoint::is_retained)
        };
        self.shown().into_iter().filter(retained).collect()
    }

    fn unreachable(&mut self, last: u8) -> Option<View> {
        self.refresh.on_unreachable(endpoint(last).identity(), self.now)
    }
}

#[test]
fn a_host_retains_the_endpoints_that_requests_succeed_on() {
    let mut sim = Sim::new();
    sim.ask(&host(&[1, 2]));
    sim.works(&[1]);
    sim.ask(&host(&[3, 4]));
    assert_eq!((sim.shown(), sim.retained()), (vec![1, 2, 3, 4], vec![1]), "2 is held, as before");
    for _ in 0..5 {
        sim.works(&[1]);
        sim.ask(&host(&[5, 6]));
    }
    assert_eq!((sim.shown(), sim.retained()), (vec![1, 5, 6], vec![1]));
    assert!(matches!(sim.freshness(), Freshness::Fresh));
    sim.ask(&host(&[1, 7]));
    assert_eq!(sim.retained(), [0_u8; 0], "an answer names it again");
}

#[test]
fn a_retained_endpoint_leaves_when_it_is_unused_or_failing_or_old() {
    for (works, failing, after) in [(false, false, 60), (true, false, 300), (true, true, 0)] {
        let mut sim = Sim::new();
        sim.ask(&host(&[1]));
        sim.works(&[1]);
        sim.ask(&host(&[2]));
        assert_eq!(sim.retained(), [1]);
        let since = sim.now;
        while sim.retained() == [1] && sim.now < since + secs(400) {
            if works {
                sim.refresh.on_outcome(endpoint(1).identity(), !failing, sim.now);
            }
            sim.ask(&host(&[2]));
        }
        let stayed = sim.now - since;
        // The endpoint was used up to one TTL before the first answer that lacks it.
        assert!(stayed + secs(2) >= secs(after) && stayed <= secs(after + 4), "{works} {failing}: {stayed:?}");
        assert_eq!(sim.shown(), [2]);
    }
}

#[test]
fn the_most_recently_used_endpoints_are_retained_up_to_the_limit() {
    let mut sim = Sim::with(RefreshSettings::default().with_retention(2, secs(300), secs(60)));
    sim.ask(&host(&[1, 2, 3, 4]));
    sim.works(&[1, 3]);
    sim.now += secs(1);
    sim.works(&[2, 4]);
    sim.ask(&host(&[5]));
    assert_eq!(sim.retained(), [2, 4]);
}

#[test]
fn a_limit_of_zero_switches_retention_off() {
    for (max, age, idle) in [(0, secs(300), secs(60)), (16, secs(0), secs(60)), (16, secs(300), secs(0))] {
        let mut sim = Sim::with(RefreshSettings::default().with_retention(max, age, idle));
        sim.ask(&host(&[1]));
        sim.works(&[1]);
        sim.ask(&host(&[2]));
        assert_eq!(sim.retained(), [0_u8; 0], "{max} {age:?} {idle:?}");
    }
}

#[test]
fn a_retained_endpoint_of_a_host_leaves_at_its_first_connect_error() {
    let mut sim = Sim::new();
    sim.ask(&host(&[1]));
    sim.works(&[1]);
    sim.ask(&host(&[2]));
    assert!(sim.unreachable(1).is_some());
    assert_eq!(sim.shown(), [2]);
    sim.ask(&host(&[2]));
    assert_eq!(sim.shown(), [2]);
}

#[test]
fn backends_are_never_retained() {
    for (first, second) in [
        (ready(&[1, 2]), ready(&[2])),
        (virtual_address(1), virtual_address(2)),
        (host(&[1, 2]), ready(&[2])),
        (host(&[1, 2]), host(&[2]).with_authority()),
    ] {
        let mut sim = Sim::new();
        sim.ask(&first);
        for _ in 0..3 {
            sim.works(&[1, 2]);
            sim.ask(&second);
        }
        assert_eq!(sim.shown(), [2], "{first:?}");
    }
    let mut sim = Sim::with_good(&[1]);
    sim.works(&[1]);
    sim.ask(&not_found());
    sim.ask(&not_found());
    assert_eq!(sim.shown(), [0_u8; 0]);
}

#[test]
fn a_virtual_address_outlives_its_name_while_requests_succeed() {
    for (update, is_not_found_then) in [(not_found(), true), (empty(), false)] {
        let mut sim = Sim::new();
        sim.ask(&virtual_address(1));
        sim.works(&[1]);
        assert!(sim.ask(&update).is_none());
        sim.works(&[1]);
        assert!(sim.ask(&update).is_some());
        assert_eq!(sim.retained(), [1]);
        for _ in 0..5 {
            sim.works(&[1]);
            assert!(sim.ask(&update).is_none() && sim.pause() <= secs(5));
        }
        let Freshness::Retained { is_not_found, .. } = *sim.freshness() else { panic!("{:?}", sim.freshness()) };
        assert_eq!(is_not_found, is_not_found_then);
        assert!(sim.ask(&virtual_address(1)).is_some_and(|view| matches!(view.freshness, Freshness::Fresh)));
        assert_eq!((sim.shown(), sim.retained()), (vec![1], vec![]));
    }
}

#[test]
fn a_virtual_address_leaves_at_once_when_the_name_has_another_one() {
    let mut sim = Sim::new();
    sim.ask(&virtual_address(1));
    sim.works(&[1]);
    sim.ask(&not_found());
    sim.ask(&not_found());
    assert_eq!(sim.retained(), [1]);
    assert!(sim.refresh.on_early(&virtual_address(2), sim.now).is_none(), "the complete answer decides");
    sim.ask(&virtual_address(2));
    assert_eq!((sim.shown(), sim.retained()), (vec![2], vec![]));
}

#[test]
fn a_virtual_address_that_refuses_connections_leaves_and_dns_is_asked() {
    for (update, is_it) in [
        (not_found(), (|s| matches!(s, Freshness::NotFound)) as fn(&Freshness) -> bool),
        (empty(), |s| matches!(s, Freshness::Empty)),
    ] {
        let mut sim = Sim::new();
        sim.ask(&virtual_address(1));
        sim.works(&[1]);
        sim.ask(&update);
        sim.ask(&update);
        assert!(sim.unreachable(1).is_some_and(|view| view.set.is_empty() && is_it(&view.freshness)));
        assert!(sim.pause() <= secs(1));
    }
}

#[test]
fn a_failed_query_changes_nothing_while_requests_on_a_virtual_address_succeed() {
    let mut sim = Sim::new();
    sim.ask(&virtual_address(1));
    sim.works(&[1]);
    sim.ask(&not_found());
    sim.ask(&not_found());
    for _ in 0..5 {
        sim.works(&[1]);
        assert!(sim.ask(&failed()).is_none());
    }
    assert!(sim.freshness().is_retained());
    sim.now += secs(61);
    assert!(sim.ask(&failed()).is_some_and(|view| matches!(view.freshness, Freshness::Failed(_))));
    assert_eq!(sim.shown(), [0_u8; 0]);
}

#[test]
fn an_endpoint_that_was_replaced_at_its_address_is_not_retained() {
    let mut sim = Sim::new();
    sim.ask(&host(&[1]));
    sim.works(&[1]);
    let other = Endpoint::new(([10, 0, 0, 1], 80).into()).with_uid("other");
    let update = Update::new(State::Ready(vec![other])).with_ttl(secs(2)).with_address_kind(AddressKind::Host);
    sim.ask(&update);
    assert_eq!((sim.shown(), sim.retained()), (vec![1], vec![]));
}
