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

fn slice(slice: &str, service: &str, last_octet: u8) -> Slice {
    let slice = Slice::new(slice, name(service), AddressType::Ipv4).with_port(None, 80, Protocol::Tcp);
    slice.with_endpoint(SliceEndpoint::new(Ipv4Addr::new(10, 0, 0, last_octet).into()))
}

#[expect(clippy::disallowed_methods, reason = "the tests need some instant and do not care which")]
fn epoch() -> Instant {
    Instant::now()
}

fn slices(cache: &ResourceCache<Slice>, service: &str) -> Vec<String> {
    cache.get(&name(service)).into_iter().flat_map(ServiceObjects::iter).map(|slice| slice.name.to_string()).collect()
}

fn has_retained(cache: &ResourceCache<Slice>, service: &str) -> bool {
    cache.get(&name(service)).is_some_and(ServiceObjects::has_retained)
}

fn version(cache: &ResourceCache<Slice>, service: &str) -> u64 {
    cache.get(&name(service)).map_or(0, ServiceObjects::version)
}

#[test]
fn version_changes_only_with_the_objects() {
    let mut cache = ResourceCache::default();
    cache.apply(slice("a-1", "a", 1));
    let before = version(&cache, "a");
    cache.apply(slice("a-1", "a", 1));
    cache.replace(vec![slice("a-1", "a", 1)], None);
    cache.apply(slice("b-1", "b", 1));
    assert_eq!(version(&cache, "a"), before);
    cache.apply(slice("a-1", "a", 2));
    assert!(version(&cache, "a") > before);
}

#[test]
fn slice_moves_with_its_label_and_is_deleted_by_name() {
    let mut cache = ResourceCache::default();
    cache.apply(slice("x", "a", 1));
    cache.apply(slice("x", "b", 1));
    assert!(slices(&cache, "a").is_empty());
    assert_eq!(slices(&cache, "b"), ["x"]);
    cache.delete("x");
    assert!(cache.get(&name("b")).is_none() && cache.is_empty());
    cache.delete("x");
    cache.delete("not a valid name");
}

#[test]
fn list_replaces_all_objects() {
    let (mut services, mut cache) = (ResourceCache::default(), ResourceCache::default());
    services.replace(vec![service("a"), service("b")], None);
    cache.replace(vec![slice("a-1", "a", 1), slice("a-2", "a", 2), slice("b-1", "b", 3)], None);
    cache.replace(vec![slice("a-2", "a", 2)], None);
    assert_eq!((slices(&cache, "a"), slices(&cache, "b").len()), (vec!["a-2".to_owned()], 0));
    assert!(services.get(&name("a")).is_some() && services.get(&name("b")).is_some());
    services.replace(Vec::new(), None);
    assert!(services.is_empty() && services.get(&name("b")).is_none());
}

/// After etcd was emptied, objects missing from the list stay for a while, and current objects replace them at once.
#[test]
fn list_after_a_rollback_removes_nothing_at_once() {
    let (mut cache, now) = (ResourceCache::default(), epoch());
    let until = now + Duration::from_secs(270);
    cache.replace(vec![slice("a-1", "a", 1), slice("a-2", "a", 2), slice("b-1", "b", 3)], None);
    let before = version(&cache, "b");
    cache.replace(vec![slice("a-9", "a", 9)], Some(until));
    assert_eq!(slices(&cache, "a"), ["a-9"], "the list is complete for each Service that it mentions");
    assert!(!has_retained(&cache, "a"));
    assert_eq!(slices(&cache, "b"), ["b-1"]);
    assert!(has_retained(&cache, "b"));
    assert_ne!(version(&cache, "b"), before, "retained objects count as a change");
    cache.expire(now);
    assert_eq!(slices(&cache, "b"), ["b-1"]);

    cache.apply(slice("b-7", "b", 7));
    assert_eq!(slices(&cache, "b"), ["b-7"]);
    assert!(!has_retained(&cache, "b"));
    cache.expire(until);
    assert_eq!(slices(&cache, "b"), ["b-7"]);

    cache.replace(Vec::new(), Some(until));
    cache.expire(until - Duration::from_secs(1));
    assert_eq!(slices(&cache, "b"), ["b-7"]);
    cache.expire(until);
    assert!(slices(&cache, "b").is_empty());
}

#[test]
fn retained_service_is_replaced_when_it_is_back() {
    let (mut cache, until) = (ResourceCache::default(), epoch());
    cache.replace(vec![service("a"), service("b")], None);
    cache.replace(vec![service("a")], Some(until));
    assert!(cache.get(&name("b")).is_some_and(ServiceObjects::has_retained));
    cache.apply(service("b"));
    cache.expire(until);
    assert!(cache.get(&name("b")).is_some_and(|services| !services.has_retained()));
}
