//! The fetching rules, with simulated time.

use super::*;
use crate::{Instance, Status};

const SECOND: Duration = Duration::from_secs(1);

fn settings(delta: bool) -> FetchSettings {
    FetchSettings {
        fetch_interval: 30 * SECOND,
        full_fetch_interval: 300 * SECOND,
        max_stale: 90 * SECOND,
        delta,
        max_instances: 5,
    }
}

fn instance(id: &str) -> Instance {
    Instance { app: "A".to_owned(), id: id.to_owned(), status: Status::Up, ..Instance::default() }
}

fn page(hash: &str, puts: &[&str], deletes: &[&str]) -> Page {
    let puts = puts.iter().map(|id| (Action::Put, instance(id)));
    let deletes = deletes.iter().map(|id| (Action::Deleted, instance(id)));
    Page { hash: Some(hash.to_owned()), entries: puts.chain(deletes).collect() }
}

fn ids(cache: &RegistryCache) -> Vec<&str> {
    let all = cache.applications().expect("a successful fetch");
    all.named("A", false, false).instances.iter().map(|instance| instance.id.as_str()).collect()
}

/// A cache that fetched three instances at second 0.
fn fetched() -> (RegistryCache, Instant) {
    let start = Instant::now();
    let mut cache = RegistryCache::new(settings(true));
    assert_eq!(cache.next(start), Ok(Fetch::Full));
    cache.on_full(page("UP_3_", &["1", "2", "3"], &[]), start, 1.0);
    (cache, start)
}

fn at(start: Instant, seconds: u32) -> Instant {
    start + seconds * SECOND
}

#[test]
fn fetches_deltas_and_occasionally_everything() {
    let (mut cache, start) = fetched();
    assert_eq!(cache.next(at(start, 29)), Err(at(start, 30)));
    for n in 1..10 {
        let now = at(start, n * 30);
        assert_eq!(cache.next(now), Ok(Fetch::Delta), "{n}");
        assert!(cache.on_delta(page("UP_3_", &[], &[]), now, 1.0));
    }
    assert_eq!(cache.next(at(start, 300)), Ok(Fetch::Full), "the hash misses a change that keeps the counts");
}

#[test]
fn fetches_an_empty_registry_in_full() {
    let start = Instant::now();
    let mut cache = RegistryCache::new(settings(true));
    cache.on_full(page("", &[], &[]), start, 1.0);
    assert_eq!(cache.next(at(start, 30)), Ok(Fetch::Full));
}

#[test]
fn believes_every_full_fetch_when_deltas_are_disabled() {
    let start = Instant::now();
    let mut cache = RegistryCache::new(settings(false));
    cache.on_full(page("UP_1_", &["1"], &[]), start, 1.0);
    assert_eq!(cache.next(at(start, 30)), Ok(Fetch::Full));
    cache.on_full(page("", &[], &[]), at(start, 30), 1.0);
    assert!(ids(&cache).is_empty());
}

#[test]
fn fetches_everything_when_the_hash_differs() {
    let (mut cache, start) = fetched();
    let now = at(start, 30);
    assert!(!cache.on_delta(page("UP_5_", &["4"], &[]), now, 1.0));
    cache.on_full(page("UP_5_", &["1", "2", "3", "4", "5"], &[]), now, 1.0);
    assert_eq!(ids(&cache), ["1", "2", "3", "4", "5"]);
    let expected = FetchCounts { full: 2, mismatched: 1, ..FetchCounts::default() };
    assert_eq!(cache.counts, expected);
}

#[test]
fn believes_a_delta_without_a_hash() {
    let (mut cache, start) = fetched();
    let delta = Page { hash: None, ..page("", &["4"], &["1"]) };
    assert!(cache.on_delta(delta, at(start, 30), 1.0));
    assert_eq!(ids(&cache), ["2", "3", "4"]);
}

/// The server keeps changes for 180 s.
#[test]
fn fetches_everything_after_a_long_outage() {
    let (mut cache, start) = fetched();
    let mut now = at(start, 30);
    let mut seconds = Vec::new();
    while now < at(start, 150) {
        assert_eq!(cache.next(now), Ok(Fetch::Delta));
        seconds.push((now - start).as_secs());
        cache.on_failure(Error::unreachable("no registry"), now, 1.0);
        now = cache.next(now).unwrap_err();
    }
    assert_eq!(seconds, [30, 31, 33, 37, 45, 61, 91, 121]);
    assert_eq!(cache.next(now), Ok(Fetch::Full));
    assert_eq!(ids(&cache), ["1", "2", "3"], "instances stay");
    assert!(cache.error.is_some());
    cache.on_full(page("UP_3_", &["1", "2", "3"], &[]), now, 1.0);
    assert!(cache.error.is_none());
}

#[test]
fn notifies_of_the_first_failure_and_of_the_first_success() {
    let start = Instant::now();
    let mut cache = RegistryCache::new(settings(true));
    assert!(cache.is_awaited());
    cache.on_failure(Error::unreachable("no registry"), start, 1.0);
    assert!(!cache.is_awaited() && cache.applications().is_none());
    let version = cache.version;
    cache.on_failure(Error::unreachable("no registry"), at(start, 1), 1.0);
    assert_eq!(cache.version, version, "a repeated failure does not notify");
    cache.on_full(page("", &[], &[]), at(start, 3), 1.0);
    assert!(cache.version > version);
}

#[test]
fn does_not_notify_of_an_unchanged_registry() {
    let (mut cache, start) = fetched();
    let version = cache.version;
    cache.on_full(page("UP_3_", &["1", "2", "3"], &[]), at(start, 30), 1.0);
    assert!(cache.on_delta(page("UP_3_", &[], &[]), at(start, 60), 1.0));
    assert_eq!(cache.version, version);
}

/// The first delta of a restarted registry is empty, with the hash of an empty registry.
#[test]
fn keeps_lost_instances_until_they_return() {
    let (mut cache, start) = fetched();
    assert!(!cache.on_delta(page("", &[], &[]), at(start, 30), 1.0));
    cache.on_full(page("", &[], &[]), at(start, 30), 1.0);
    assert_eq!(ids(&cache), ["1", "2", "3"]);
    assert_eq!((cache.stale_instances(), cache.counts.emptied), (3, 1));
    // One instance returns, another one is new.
    cache.on_full(page("UP_2_", &["2", "9"], &[]), at(start, 60), 1.0);
    assert_eq!(ids(&cache), ["1", "2", "3", "9"]);
    // One instance deregisters.
    assert!(cache.on_delta(page("UP_2_", &[], &["3"]), at(start, 90), 1.0));
    assert_eq!(ids(&cache), ["1", "2", "9"]);
    assert!(cache.on_delta(page("UP_3_", &["1"], &[]), at(start, 100), 1.0));
    assert_eq!((cache.stale_instances(), ids(&cache)), (0, vec!["1", "2", "9"]), "all instances have returned");
}

#[test]
fn drops_lost_instances_after_max_stale() {
    let (mut cache, start) = fetched();
    cache.on_full(page("", &[], &[]), at(start, 30), 1.0);
    cache.on_failure(Error::unreachable("no registry"), at(start, 119), 1.0);
    assert_eq!(ids(&cache).len(), 3);
    assert_eq!(cache.next(at(start, 119)), Err(at(start, 120)), "not after the end of max_stale");
    let version = cache.version;
    cache.on_timer(at(start, 120));
    assert!(ids(&cache).is_empty() && cache.version > version);
}

/// A server with `disable-delta=true` reports a removal by a full fetch only.
#[test]
fn drops_instances_at_once_when_the_server_has_no_deltas() {
    let (mut cache, start) = fetched();
    cache.on_delta_refused();
    cache.on_full(page("UP_1_", &["1"], &[]), at(start, 30), 1.0);
    assert_eq!((ids(&cache), cache.counts.emptied), (vec!["1"], 0));
    cache.on_delta_refused();
    cache.on_full(page("", &[], &[]), at(start, 60), 1.0);
    assert!(ids(&cache).is_empty());
    // A full fetch without a delta before it, after an outage.
    cache.on_full(page("UP_1_", &["1"], &[]), at(start, 90), 1.0);
    cache.on_full(page("", &[], &[]), at(start, 300), 1.0);
    assert!(ids(&cache).is_empty());
}

#[test]
fn keeps_lost_instances_once_the_server_has_deltas_again() {
    let (mut cache, start) = fetched();
    cache.on_delta_refused();
    cache.on_full(page("UP_3_", &["1", "2", "3"], &[]), at(start, 30), 1.0);
    assert!(cache.on_delta(page("UP_3_", &[], &[]), at(start, 60), 1.0));
    cache.on_full(page("", &[], &[]), at(start, 90), 1.0);
    assert_eq!((ids(&cache).len(), cache.counts.emptied), (3, 1));
}

#[test]
fn drops_a_few_missing_instances_at_once() {
    let (mut cache, start) = fetched();
    cache.on_full(page("UP_2_", &["1", "2"], &[]), at(start, 30), 1.0);
    assert_eq!(ids(&cache), ["1", "2"]);
}

/// Deltas that each stay within the limit do not exceed it together.
#[test]
fn deltas_do_not_add_instances_without_a_limit() {
    let (mut cache, start) = fetched();
    assert!(cache.on_delta(page("UP_5_", &["3", "4", "5"], &[]), at(start, 30), 1.0));
    assert!(!cache.on_delta(page("UP_6_", &["6"], &[]), at(start, 60), 1.0));
    assert_eq!(ids(&cache), ["1", "2", "3", "4", "5"]);
}
