//! What definitive answers change.

use super::*;

#[test]
fn f8_the_same_endpoints_in_another_order_or_with_another_ttl_publish_nothing() {
    let mut machine = Machine::new();
    assert!(machine.ready(&[1, 2]).is_some());
    machine.sleep();
    assert!(machine.ready_for(&[2, 1, 2], secs(30)).is_none());
    assert_eq!(machine.version(), 1);
}

#[test]
fn f10_additions_show_at_once_and_removals_after_a_second_answer() {
    let mut machine = Machine::new();
    machine.ready(&[1, 2]);
    machine.sleep();
    assert!(machine.ready(&[2, 3]).is_some());
    assert_eq!(machine.shown(), [1, 2, 3], "1 is held");
    assert_eq!(machine.sleep(), secs(1), "the confirming question does not wait for the TTL");
    assert!(machine.ready(&[2, 3]).is_some());
    assert_eq!(machine.shown(), [2, 3]);
}

#[test]
fn f10_replicas_that_disagree_for_three_seconds_remove_nothing() {
    let mut machine = Machine::new();
    machine.ready(&[1, 2]);
    let mut publications = 0;
    for round in 0..4 {
        machine.sleep();
        publications += usize::from(machine.ready(if round % 2 == 0 { &[2, 3] } else { &[1, 2] }).is_some());
    }
    assert_eq!(publications, 1, "the addition of 3");
    assert_eq!(machine.shown(), [1, 2, 3]);
}

#[test]
fn f10_an_answer_within_the_hold_does_not_confirm() {
    let mut machine = Machine::new();
    machine.ready(&[1, 2]);
    machine.sleep();
    machine.ready(&[2]);
    machine.after(ms(400)).ready(&[2]);
    assert_eq!(machine.shown(), [1, 2]);
    machine.after(ms(600)).ready(&[2]);
    assert_eq!(machine.shown(), [2]);
}

#[test]
fn a_hold_of_zero_removes_at_once() {
    let mut machine = Machine::with(RefreshSettings::new().with_removal_hold(Duration::ZERO));
    machine.ready(&[1, 2]);
    machine.sleep();
    machine.ready(&[2]);
    assert_eq!(machine.shown(), [2]);
}

#[test]
fn a_changed_endpoint_shows_at_once() {
    let mut machine = Machine::new();
    machine.ready(&[1]);
    machine.sleep();
    let heavy = State::Ready(vec![endpoint(1).with_weight(7)]);
    let view = machine.answer(heavy, Some(secs(5))).expect("published");
    assert_eq!((view.set.len(), view.set[0].weight()), (1, 7));
}

#[test]
fn f6_a_no_after_a_yes_is_confirmed_by_one_question_a_second_later() {
    for (state, empty) in [(State::NotFound, false), (State::Empty, true)] {
        let mut machine = Machine::new();
        machine.ready(&[1, 2]);
        machine.sleep();
        assert!(machine.answer(state.clone(), Some(secs(5))).is_none());
        assert_eq!(machine.shown(), [1, 2]);
        assert_eq!(machine.sleep(), secs(1));
        let view = machine.answer(state, Some(secs(5))).expect("published");
        assert!(view.set.is_empty());
        assert_eq!(matches!(view.standing, Standing::Empty), empty);
        assert_eq!(matches!(view.standing, Standing::NotFound), !empty);
        assert!(machine.refresh.ask_at().is_some(), "polling continues");
    }
}

#[test]
fn f6_a_yes_in_between_takes_the_no_back() {
    let mut machine = Machine::new();
    machine.ready(&[1]);
    machine.sleep();
    machine.answer(State::NotFound, Some(secs(5)));
    machine.sleep();
    assert!(machine.ready(&[1]).is_none(), "nothing has changed for readers");
    machine.sleep();
    machine.answer(State::NotFound, Some(secs(5)));
    assert_eq!(machine.shown(), [1], "a new no needs a new confirmation");
}

#[test]
fn f6_a_failure_confirms_nothing() {
    let mut machine = Machine::new();
    machine.ready(&[1]);
    machine.sleep();
    machine.answer(State::NotFound, Some(secs(5)));
    machine.sleep();
    machine.fails();
    assert_eq!(machine.shown(), [1]);
    machine.sleep();
    machine.answer(State::NotFound, Some(secs(5)));
    assert_eq!(machine.shown(), Vec::<u8>::new(), "two definitive answers, more than a second apart");
}

#[test]
fn f15_an_early_answer_adds_and_never_removes() {
    let mut machine = Machine::new();
    machine.refresh.on_ask(machine.now);
    let early = Update::new(State::Ready(vec![endpoint(1)])).with_ttl(secs(5));
    assert!(machine.refresh.on_early(&early, machine.now).is_some());
    assert_eq!(machine.shown(), [1]);
    machine.ready(&[1, 2, 3]);
    machine.sleep();
    machine.refresh.on_ask(machine.now);
    assert!(machine.refresh.on_early(&early, machine.now).is_none());
    assert_eq!(machine.shown(), [1, 2, 3]);
    assert!(machine.refresh.ask_at().is_none(), "the round is not over");
}

#[test]
fn versions_count_the_sets_that_differ() {
    let mut machine = Machine::with(RefreshSettings::new().with_removal_hold(Duration::ZERO));
    assert_eq!(machine.version(), 0);
    for (of, version) in [(&[1][..], 1), (&[1], 1), (&[1, 2], 2), (&[2], 3)] {
        machine.ready(of);
        machine.sleep();
        assert_eq!(machine.version(), version);
    }
}
