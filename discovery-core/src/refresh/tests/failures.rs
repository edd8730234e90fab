//! What failures change.

use super::*;

#[test]
fn f6_a_failure_keeps_the_endpoints_and_calls_them_stale() {
    let mut machine = Machine::new();
    machine.ready(&[1, 2]);
    let good = machine.now;
    machine.sleep();
    let view = machine.fails().expect("the standing has changed");
    assert_eq!(machine.shown(), [1, 2]);
    assert!(matches!(view.standing, Standing::Stale { since, .. } if since == good));
    assert_eq!(view.set.version(), 1, "the set has not");
    machine.sleep();
    assert!(machine.fails().is_none(), "told once");
    machine.sleep();
    assert!(machine.ready(&[1, 2]).is_some_and(|view| matches!(view.standing, Standing::Fresh)));
}

#[test]
fn f6_pauses_grow_from_100_ms_to_5_s() {
    let mut machine = Machine::new();
    machine.ready(&[1]);
    machine.sleep();
    let mut pauses = Vec::new();
    for _ in 0..9 {
        machine.fails();
        pauses.push(machine.sleep());
    }
    assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000].map(ms));
    machine.ready(&[1]);
    machine.sleep();
    machine.fails();
    assert_eq!(machine.sleep(), ms(100), "a good answer resets them");
}

#[test]
fn f9_a_failure_after_max_stale_drops_the_endpoints() {
    let mut machine = Machine::new();
    machine.ready(&[1]);
    machine.sleep();
    while machine.now - machine.start <= secs(300) {
        machine.fails();
        assert_eq!(machine.shown(), if machine.now - machine.start <= secs(300) { vec![1] } else { vec![] });
        machine.sleep();
    }
    let view = machine.fails().expect("published");
    assert!(view.set.is_empty() && matches!(view.standing, Standing::Failed(_)));
}

#[test]
fn a_suspended_laptop_drops_nothing_before_the_next_answer() {
    let hours = secs(3 * 3600);
    let mut machine = Machine::new();
    machine.ready(&[1]);
    machine.after(hours);
    assert_eq!(machine.shown(), [1], "time alone changes nothing");
    assert!(machine.ready(&[1]).is_none(), "the answer after the sleep is good: readers see no gap");
    machine.after(hours);
    let view = machine.fails().expect("published");
    assert!(view.set.is_empty(), "the answer after the sleep is a failure: three hours are too old");
}

#[test]
fn a_failure_with_nothing_known_is_told() {
    let mut machine = Machine::new();
    let view = machine.fails().expect("published");
    assert!(matches!(view.standing, Standing::Failed(_)));
    assert_eq!(machine.sleep(), ms(100));
    assert!(machine.ready(&[1]).is_some());
}

#[test]
fn f9_an_unreachable_endpoint_brings_the_question_forward_once_a_second() {
    let mut machine = Machine::new();
    machine.ready_for(&[1, 2], secs(30));
    machine.after(ms(300));
    assert!(machine.refresh.on_unreachable(&identity(1), machine.now).is_none(), "fresh ones are not ejected");
    assert_eq!(machine.sleep(), ms(700), "not sooner than a second after the last question");
    machine.ready_for(&[1, 2], secs(30));
    machine.after(secs(2));
    machine.refresh.on_unreachable(&identity(1), machine.now);
    assert_eq!(machine.sleep(), Duration::ZERO);
}

#[test]
fn f9_an_unreachable_endpoint_of_a_stale_set_is_ejected_but_not_the_last() {
    let mut machine = Machine::new();
    machine.ready(&[1, 2]);
    machine.sleep();
    machine.fails();
    assert!(machine.refresh.on_unreachable(&identity(1), machine.now).is_some());
    assert_eq!(machine.shown(), [2]);
    assert!(machine.refresh.on_unreachable(&identity(2), machine.now).is_none());
    assert_eq!(machine.shown(), [2], "nothing better is known");
    machine.sleep();
    machine.ready(&[1, 2]);
    assert_eq!(machine.shown(), [1, 2], "an answer that names it brings it back");
}

#[test]
fn f9_an_unreachable_endpoint_that_is_held_goes_at_once() {
    let mut machine = Machine::new();
    machine.ready(&[1, 2]);
    machine.sleep();
    machine.ready(&[2]);
    assert_eq!(machine.shown(), [1, 2]);
    assert!(machine.refresh.on_unreachable(&identity(1), machine.now).is_some());
    assert_eq!(machine.shown(), [2]);
}
