//! When to ask next.

use super::*;

#[test]
fn f14_a_refresh_comes_at_80_to_90_percent_of_the_ttl() {
    for (jitter, expected) in [(0.0, ms(8000)), (0.5, ms(8500)), (0.999_999, ms(8999))] {
        let mut machine = Machine::new();
        machine.jitter = jitter;
        machine.ready_for(&[1], secs(10));
        assert_eq!(machine.sleep().as_millis(), expected.as_millis());
    }
}

#[test]
fn f4_a_thousand_watchers_spread_over_a_tenth_of_the_interval() {
    let pauses: Vec<Duration> = (0..1000)
        .map(|n| {
            let mut machine = Machine::new();
            machine.jitter = f64::from(n) / 1000.0;
            machine.ready_for(&[1], secs(10));
            machine.sleep()
        })
        .collect();
    let spread = *pauses.iter().max().unwrap() - *pauses.iter().min().unwrap();
    assert!(spread >= ms(990), "{spread:?} of 10 s");
}

#[test]
fn f4_ttl_zero_costs_at_most_one_question_a_second() {
    for jitter in [0.0, 0.5, 0.99] {
        let mut machine = Machine::new();
        machine.jitter = jitter;
        for ttl in [Duration::ZERO, ms(1), ms(999), secs(1)] {
            machine.ready_for(&[1], ttl);
            let pause = machine.sleep();
            assert!((secs(1)..=ms(1100)).contains(&pause), "{ttl:?}: {pause:?}");
        }
    }
}

#[test]
fn f4_enormous_ttls_are_clamped() {
    for seconds in [u64::from(u32::MAX), 1 << 31, u64::MAX] {
        let mut machine = Machine::new();
        machine.ready_for(&[1], secs(seconds));
        assert!(machine.sleep() <= secs(30));
    }
}

#[test]
fn f3_a_refresh_never_waits_longer_than_max_refresh() {
    let mut machine = Machine::new();
    machine.jitter = 0.999;
    machine.ready_for(&[1], secs(3600));
    assert!(machine.sleep() <= secs(30));
}

#[test]
fn an_answer_that_cannot_change_is_not_asked_for_again() {
    let mut machine = Machine::new();
    machine.answer(State::Ready(vec![endpoint(1)]), None);
    assert_eq!(machine.refresh.ask_at(), None);
    machine.after(secs(9));
    machine.refresh.on_news(machine.now);
    assert_eq!(machine.refresh.ask_at(), Some(machine.now), "unless the source has news");
}

#[test]
fn f5_while_somebody_waits_a_missing_name_is_asked_for_every_second() {
    let mut machine = Machine::new();
    let now = machine.now;
    machine.refresh.on_waiting(true, now);
    for _ in 0..10 {
        machine.answer(State::NotFound, Some(secs(30)));
        assert_eq!(machine.sleep(), secs(1));
    }
}

#[test]
fn f5_while_nobody_waits_the_pauses_grow_to_five_seconds() {
    let mut machine = Machine::new();
    let mut pauses = Vec::new();
    for _ in 0..5 {
        machine.answer(State::NotFound, Some(secs(30)));
        pauses.push(machine.sleep());
    }
    assert_eq!(pauses, [1000, 2000, 4000, 5000, 5000].map(ms));
}

#[test]
fn f5_whoever_begins_to_wait_brings_the_question_forward() {
    let mut machine = Machine::new();
    for _ in 0..5 {
        machine.answer(State::NotFound, Some(secs(30)));
        machine.sleep();
    }
    machine.answer(State::NotFound, Some(secs(30)));
    machine.after(ms(200));
    let now = machine.now;
    machine.refresh.on_waiting(true, now);
    assert_eq!(machine.sleep(), ms(800), "not sooner than a second after the last question");
}

#[test]
fn f5_a_short_negative_ttl_is_honoured() {
    let mut machine = Machine::new();
    for _ in 0..4 {
        machine.answer(State::Empty, Some(secs(2)));
        assert!(machine.sleep() <= secs(2));
    }
}

#[test]
fn extreme_moments_and_durations_do_not_panic() {
    let settings = RefreshSettings::new()
        .with_max_refresh(Duration::MAX)
        .with_max_stale(Duration::MAX)
        .with_removal_hold(Duration::MAX);
    let mut machine = Machine::with(settings.validated().expect("valid"));
    machine.ready_for(&[1, 2], Duration::MAX);
    machine.answer(State::Ready(vec![endpoint(1)]), Some(Duration::MAX));
    machine.fails();
    machine.answer(State::NotFound, Some(Duration::MAX));
}

#[test]
fn settings_that_contradict_each_other_are_refused_by_name() {
    let error = RefreshSettings::new().with_min_refresh(secs(60)).validated().expect_err("longer than the longest");
    assert!(error.is_config() && error.to_string().contains("min_refresh"), "{error}");
    let error = RefreshSettings::new().with_min_refresh(Duration::ZERO).validated().expect_err("zero");
    assert!(error.to_string().contains("10 ms"), "{error}");
}
