//! Random histories against what must hold in each of them.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Event {
    Ready(Vec<u8>, u64),
    No(bool),
    Fails,
    Early(Vec<u8>),
    Unreachable(u8),
    News,
    Waits(bool),
}

fn event() -> impl Strategy<Value = Event> {
    let some = || prop::collection::vec(1_u8..6, 1..5);
    prop_oneof![
        4 => (some(), 0_u64..60).prop_map(|(of, ttl)| Event::Ready(of, ttl)),
        2 => any::<bool>().prop_map(Event::No),
        2 => Just(Event::Fails),
        1 => some().prop_map(Event::Early),
        1 => (1_u8..6).prop_map(Event::Unreachable),
        1 => Just(Event::News),
        1 => any::<bool>().prop_map(Event::Waits),
    ]
}

proptest! {
    /// In every history: what is shown has been in an answer since the last "no" or drop; everything in the
    /// last good answer is shown; endpoints vanish as a whole only for two "no"s a second apart or a failure
    /// after `max_stale`; versions count up; only failures are followed by a question within a second.
    #[test]
    fn what_must_hold(history in prop::collection::vec((event(), 0_u64..4000), 1..60), jitter in 0.0..1.0) {
        let mut machine = Machine::new();
        machine.jitter = jitter;
        let (mut last_no, mut last_good): (Option<Instant>, Option<Instant>) = (None, None);
        let mut seen: Vec<u8> = Vec::new();
        for (event, pause) in history {
            machine.after(ms(pause));
            let (now, before, version) = (machine.now, machine.shown(), machine.version());
            let failed = matches!(event, Event::Fails);
            let asked = matches!(event, Event::Ready(..) | Event::No(_) | Event::Fails);
            match event {
                Event::Ready(of, ttl) => {
                    machine.ready_for(&of, secs(ttl));
                    prop_assert!(of.iter().all(|one| machine.shown().contains(one)));
                    seen.extend(of);
                    (last_good, last_no) = (Some(now), None);
                }
                Event::No(empty) => {
                    machine.answer(if empty { State::Empty } else { State::NotFound }, Some(secs(5)));
                    let confirmed = last_no.is_some_and(|no| now - no >= secs(1));
                    prop_assert_eq!(machine.shown().is_empty(), before.is_empty() || confirmed);
                    last_no = if before.is_empty() { None } else { last_no.or(Some(now)) };
                }
                Event::Fails => {
                    machine.fails();
                    let believed = last_good.is_some_and(|good| now - good <= secs(300));
                    if believed {
                        prop_assert_eq!(machine.shown(), before.clone());
                    }
                }
                Event::Early(of) => {
                    let endpoints = of.iter().map(|last| endpoint(*last)).collect();
                    machine.refresh.on_early(&Update::new(State::Ready(endpoints)), now);
                    (last_good, last_no) = (Some(now), None);
                    seen.extend(of);
                    prop_assert!(before.iter().all(|one| machine.shown().contains(one)));
                }
                Event::Unreachable(one) => {
                    machine.refresh.on_unreachable(&identity(one), now);
                    let lost: Vec<_> = before.iter().filter(|e| !machine.shown().contains(e)).collect();
                    prop_assert!(lost.is_empty() || lost == [&one]);
                    prop_assert_eq!(before.is_empty(), machine.shown().is_empty());
                }
                Event::News => machine.refresh.on_news(now),
                Event::Waits(waits) => machine.refresh.on_waiting(waits, now),
            }
            prop_assert!(machine.shown().iter().all(|one| seen.contains(one)));
            prop_assert_eq!(machine.version() > version, machine.shown() != before);
            prop_assert!(machine.version() - version <= 1);
            if let (true, false, Some(at)) = (asked, failed, machine.refresh.ask_at()) {
                prop_assert!(at - now >= secs(1), "asks again after {:?}", at - now);
            }
        }
    }
}
