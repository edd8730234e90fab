//! What outcomes leave behind in a load.

use super::{super::tests::epoch, *};

const NO_PAUSE: Duration = Duration::ZERO;

#[test]
fn failures_count_until_five_seconds_after_the_last_one() {
    let (load, start) = (Load::new(epoch()), epoch() + Duration::from_secs(100));
    load.failed(start, NO_PAUSE);
    load.failed(start + Duration::from_secs(4), NO_PAUSE);
    assert_eq!(load.penalty(start + Duration::from_millis(8_999)), 2);
    assert_eq!(load.penalty(start + Duration::from_secs(9)), 0);
    load.failed(start + Duration::from_secs(10), NO_PAUSE);
    assert_eq!(load.penalty(start + Duration::from_secs(10)), 1, "an expired penalty is not added to");
}

#[test]
fn each_success_halves_the_penalty() {
    let (load, now) = (Load::new(epoch()), epoch());
    (0..5).for_each(|_| load.failed(now, NO_PAUSE));
    for left in [2, 1, 0, 0] {
        load.succeeded(&now);
        assert_eq!(load.penalty(now), left);
    }
}

#[test]
fn an_outcome_is_taken_once_and_the_last_one_counts() {
    let (load, now) = (Load::new(epoch()), epoch());
    assert_eq!((load.take_outcome(), load.works()), (None, false));
    load.succeeded(&now);
    assert_eq!((load.take_outcome(), load.take_outcome(), load.works()), (Some(true), None, true));
    load.succeeded(&now);
    load.failed(now, NO_PAUSE);
    assert_eq!((load.take_outcome(), load.works()), (Some(false), false));
}

#[test]
fn the_peak_is_the_most_requests_at_once() {
    let load = Load::new(epoch());
    for change in [Load::started, Load::started, Load::ended, Load::started, Load::ended, Load::ended] {
        change(&load);
    }
    assert_eq!((load.in_flight(), load.peak()), (0, 2));
}

#[test]
fn honors_retry_after_up_to_five_minutes() {
    for (asked, given) in [(1, 5), (60, 60), (86_400, 300)] {
        let (load, now) = (Load::new(epoch()), epoch());
        load.failed(now, Duration::from_secs(asked));
        load.failed(now, NO_PAUSE);
        assert_eq!(load.penalty(now + Duration::from_secs(given) - Duration::from_millis(1)), 2);
        assert_eq!(load.penalty(now + Duration::from_secs(given)), 0);
    }
}

#[test]
fn extreme_counts_and_times_do_not_overflow() {
    let penalty = Penalty { count: COUNT_MAX, until: u64::MAX }.raised(7);
    assert_eq!(penalty.pack(), u64::MAX);
    assert_eq!(Penalty::unpack(u64::MAX).count, COUNT_MAX);
    let (load, before) = (Load::new(epoch() + Duration::from_secs(9)), epoch());
    load.failed(before, Duration::MAX);
    assert_eq!(load.penalty(before), 1, "a moment before the epoch counts as the epoch");
}
