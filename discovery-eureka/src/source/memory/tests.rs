//! The rules of the client contract 2.1, with simulated time.

use super::*;
use crate::{Instance, Status};

const SECOND: Duration = Duration::from_secs(1);

fn timing() -> Timing {
    Timing { interval: 30 * SECOND, full_fetch_interval: 300 * SECOND, hold: 90 * SECOND }
}

fn instance(id: &str) -> Instance {
    Instance { app: "A".to_owned(), id: id.to_owned(), status: Status::Up, ..Instance::default() }
}

fn page(hash: &str, puts: &[&str], deletes: &[&str]) -> Page {
    let puts = puts.iter().map(|id| (Action::Put, instance(id)));
    let deletes = deletes.iter().map(|id| (Action::Deleted, instance(id)));
    Page { hash: Some(hash.to_owned()), entries: puts.chain(deletes).collect() }
}

fn ids(memory: &Memory) -> Vec<&str> {
    memory.applications().expect("an answer").iter().map(|instance| instance.id.as_str()).collect()
}

/// A memory that has fetched three instances at second 0.
fn fetched() -> (Memory, Instant) {
    let start = Instant::now();
    let mut memory = Memory::new(timing(), true);
    assert_eq!(memory.next(start), Ok(Fetch::Full));
    memory.on_full(page("UP_3_", &["1", "2", "3"], &[]), start, 1.0);
    (memory, start)
}

fn at(start: Instant, seconds: u32) -> Instant {
    start + seconds * SECOND
}

#[test]
fn first_all_of_it_then_deltas_and_all_of_it_now_and_then() {
    let (mut memory, start) = fetched();
    assert_eq!(memory.next(at(start, 29)), Err(at(start, 30)));
    for n in 1..10 {
        let now = at(start, n * 30);
        assert_eq!(memory.next(now), Ok(Fetch::Delta), "{n}");
        assert!(memory.on_delta(page("UP_3_", &[], &[]), now, 1.0));
    }
    assert_eq!(memory.next(at(start, 300)), Ok(Fetch::Full), "the hash misses a change that keeps the counts");
}

#[test]
fn an_empty_registry_is_fetched_in_full() {
    let start = Instant::now();
    let mut memory = Memory::new(timing(), true);
    memory.on_full(page("", &[], &[]), start, 1.0);
    assert_eq!(memory.next(at(start, 30)), Ok(Fetch::Full));
}

#[test]
fn without_deltas_all_of_it_is_fetched_and_believed() {
    let start = Instant::now();
    let mut memory = Memory::new(timing(), false);
    memory.on_full(page("UP_1_", &["1"], &[]), start, 1.0);
    assert_eq!(memory.next(at(start, 30)), Ok(Fetch::Full));
    memory.on_full(page("", &[], &[]), at(start, 30), 1.0);
    assert!(ids(&memory).is_empty());
}

#[test]
fn a_hash_that_differs_wants_all_of_it() {
    let (mut memory, start) = fetched();
    let now = at(start, 30);
    assert!(!memory.on_delta(page("UP_5_", &["4"], &[]), now, 1.0));
    memory.on_full(page("UP_5_", &["1", "2", "3", "4", "5"], &[]), now, 1.0);
    assert_eq!(ids(&memory), ["1", "2", "3", "4", "5"]);
    let expected = FetchCounts { full: 2, mismatched: 1, ..FetchCounts::default() };
    assert_eq!(memory.counts, expected);
}

#[test]
fn a_delta_without_a_hash_is_believed() {
    let (mut memory, start) = fetched();
    let delta = Page { hash: None, ..page("", &["4"], &["1"]) };
    assert!(memory.on_delta(delta, at(start, 30), 1.0));
    assert_eq!(ids(&memory), ["2", "3", "4"]);
}

/// The server keeps 180 s of changes.
#[test]
fn after_a_long_silence_a_delta_says_too_little() {
    let (mut memory, start) = fetched();
    let mut now = at(start, 30);
    let mut seconds = Vec::new();
    while now < at(start, 150) {
        assert_eq!(memory.next(now), Ok(Fetch::Delta));
        seconds.push((now - start).as_secs());
        memory.on_failure(Error::unreachable("nobody there"), now, 1.0);
        now = memory.next(now).unwrap_err();
    }
    assert_eq!(seconds, [30, 31, 33, 37, 45, 61, 91, 121]);
    assert_eq!(memory.next(now), Ok(Fetch::Full));
    assert_eq!(ids(&memory), ["1", "2", "3"], "what is known stays");
    assert!(memory.error.is_some());
    memory.on_full(page("UP_3_", &["1", "2", "3"], &[]), now, 1.0);
    assert!(memory.error.is_none());
}

#[test]
fn a_first_fetch_that_fails_is_news_and_so_is_the_first_that_does_not() {
    let start = Instant::now();
    let mut memory = Memory::new(timing(), true);
    assert!(memory.is_awaited());
    memory.on_failure(Error::unreachable("nobody there"), start, 1.0);
    assert!(!memory.is_awaited() && memory.applications().is_none());
    let version = memory.version;
    memory.on_failure(Error::unreachable("nobody there"), at(start, 1), 1.0);
    assert_eq!(memory.version, version, "the same again is none");
    memory.on_full(page("", &[], &[]), at(start, 3), 1.0);
    assert!(memory.version > version);
}

#[test]
fn an_answer_that_changes_nothing_is_no_news() {
    let (mut memory, start) = fetched();
    let version = memory.version;
    memory.on_full(page("UP_3_", &["1", "2", "3"], &[]), at(start, 30), 1.0);
    assert!(memory.on_delta(page("UP_3_", &[], &[]), at(start, 60), 1.0));
    assert_eq!(memory.version, version);
}

/// A registry that was restarted: its first delta is empty, with the hash of nothing.
#[test]
fn what_a_registry_has_lost_with_its_memory_is_kept_until_it_is_back() {
    let (mut memory, start) = fetched();
    assert!(!memory.on_delta(page("", &[], &[]), at(start, 30), 1.0));
    memory.on_full(page("", &[], &[]), at(start, 30), 1.0);
    assert_eq!(ids(&memory), ["1", "2", "3"]);
    assert_eq!((memory.kept(), memory.counts.emptied), (3, 1));
    // One comes back, another is new.
    memory.on_full(page("UP_2_", &["2", "9"], &[]), at(start, 60), 1.0);
    assert_eq!(ids(&memory), ["1", "2", "3", "9"]);
    // One goes in order.
    assert!(memory.on_delta(page("UP_2_", &[], &["3"]), at(start, 90), 1.0));
    assert_eq!(ids(&memory), ["1", "2", "9"]);
    assert!(memory.on_delta(page("UP_3_", &["1"], &[]), at(start, 100), 1.0));
    assert_eq!((memory.kept(), ids(&memory)), (0, vec!["1", "2", "9"]), "all are back");
}

#[test]
fn what_does_not_come_back_in_time_is_gone() {
    let (mut memory, start) = fetched();
    memory.on_full(page("", &[], &[]), at(start, 30), 1.0);
    memory.on_failure(Error::unreachable("nobody there"), at(start, 119), 1.0);
    assert_eq!(ids(&memory).len(), 3);
    assert_eq!(memory.next(at(start, 119)), Err(at(start, 120)), "not later than the hold ends");
    let version = memory.version;
    memory.on_time(at(start, 120));
    assert!(ids(&memory).is_empty() && memory.version > version);
}

#[test]
fn a_few_that_are_missing_are_gone_at_once() {
    let (mut memory, start) = fetched();
    memory.on_full(page("UP_2_", &["1", "2"], &[]), at(start, 30), 1.0);
    assert_eq!(ids(&memory), ["1", "2"]);
}
