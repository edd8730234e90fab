use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use super::*;
use crate::{
    name::Protocol,
    source::kubernetes::model::{AddressType, ServiceKind, SliceEndpoint},
};

fn name(text: &str) -> ServiceName {
    ServiceName::new(text).expect("name")
}

fn service(text: &str) -> Service {
    Service::new(name(text), ServiceKind::ClusterIp).with_port(None, 80, Protocol::Tcp)
}

fn slice(slice: &str, of: &str, last: u8) -> Slice {
    let slice = Slice::new(slice, name(of), AddressType::Ipv4).with_port(None, 80, Protocol::Tcp);
    slice.with_endpoint(SliceEndpoint::new(Ipv4Addr::new(10, 0, 0, last).into()))
}

#[expect(clippy::disallowed_methods, reason = "any instant will do")]
fn epoch() -> Instant {
    Instant::now()
}

fn slices(store: &Store, of: &str) -> Vec<String> {
    store.get(&name(of)).into_iter().flat_map(Known::slices).map(|slice| slice.name.to_string()).collect()
}

fn version(store: &Store, of: &str) -> u64 {
    store.get(&name(of)).map_or(0, Known::version)
}

#[test]
fn only_a_difference_is_a_change() {
    let mut store = Store::default();
    store.apply(service("a"));
    store.apply(slice("a-1", "a", 1));
    let before = version(&store, "a");
    store.apply(slice("a-1", "a", 1));
    store.replace(vec![slice("a-1", "a", 1)], None);
    store.apply(slice("b-1", "b", 1));
    assert_eq!(version(&store, "a"), before);
    store.apply(slice("a-1", "a", 2));
    assert!(version(&store, "a") > before);
}

#[test]
fn a_slice_moves_with_its_label_and_goes_by_its_name() {
    let mut store = Store::default();
    store.apply(slice("x", "a", 1));
    store.apply(slice("x", "b", 1));
    assert!(slices(&store, "a").is_empty());
    assert_eq!(slices(&store, "b"), ["x"]);
    store.delete::<Slice>("x");
    assert!(store.get(&name("b")).is_none());
    store.delete::<Slice>("x");
    store.delete::<Service>("no name at all");
}

#[test]
fn a_list_is_everything() {
    let mut store = Store::default();
    store.replace(vec![service("a"), service("b")], None);
    store.replace(vec![slice("a-1", "a", 1), slice("a-2", "a", 2), slice("b-1", "b", 3)], None);
    store.replace(vec![slice("a-2", "a", 2)], None);
    assert_eq!((slices(&store, "a"), slices(&store, "b").len()), (vec!["a-2".to_owned()], 0));
    assert_eq!((store.len::<Service>(), store.len::<Slice>()), (2, 1));
    store.replace(Vec::<Service>::new(), None);
    assert!(store.get(&name("b")).is_none() && store.get(&name("a")).is_some());
}

/// etcd was emptied: what is missing stays for a while; what is there again takes its place at once.
#[test]
fn a_list_of_an_older_history_takes_nothing_away_at_once() {
    let (mut store, now) = (Store::default(), epoch());
    let until = now + Duration::from_secs(270);
    store.replace(vec![service("a"), service("b")], None);
    store.replace(vec![slice("a-1", "a", 1), slice("a-2", "a", 2), slice("b-1", "b", 3)], None);
    let before = version(&store, "b");
    store.replace(vec![service("a")], Some(until));
    store.replace(vec![slice("a-9", "a", 9)], Some(until));
    assert_eq!(slices(&store, "a"), ["a-9"], "what the list says of a Service is all of it");
    assert!(!store.get(&name("a")).expect("a").is_doubted());
    assert_eq!(slices(&store, "b"), ["b-1"]);
    assert!(store.get(&name("b")).expect("b").is_doubted());
    assert_ne!(version(&store, "b"), before, "doubt is news");
    assert_eq!(store.settle(now), Some(until));

    store.apply(service("b"));
    store.apply(slice("b-7", "b", 7));
    assert_eq!(slices(&store, "b"), ["b-7"]);
    assert!(!store.get(&name("b")).expect("b").is_doubted());
    assert_eq!(store.settle(until), None);
    assert_eq!(slices(&store, "b"), ["b-7"]);

    store.replace(Vec::<Slice>::new(), Some(until));
    assert_eq!(store.settle(until - Duration::from_secs(1)), Some(until));
    assert_eq!(slices(&store, "b"), ["b-7"]);
    store.settle(until);
    assert!(slices(&store, "b").is_empty());
}
