//! A change touches one port, and publishing needs a change. Upstream: TestSyncProxyRulesRepeated.

use std::sync::Arc;

use super::world::*;
use crate::{Mode, NamespacedName, Proxier, object::*};
use discovery_core::policy::SplitMix64;

fn many(n: u8) -> World {
    let mut world = World::new(Mode::Nftables);
    for last in 1..=n {
        let name = format!("svc{last}");
        world.proxy.apply_service(&named(&name, &format!("10.96.1.{last}")));
        world.proxy.apply_endpoint_slice(&slice_of(&name, &name, pods(2)));
    }
    world.sync();
    world
}

#[test]
fn unchanged_objects_publish_nothing() {
    for mode in all_modes() {
        let mut world = World::new(mode).service(&sticky(10)).slice(&slice(pods(3)));
        let before = world.proxy.snapshot().clone();
        let still = |world: &mut World| {
            let changes = world.sync();
            assert!(!changes.published && changes.touched.is_empty() && changes.stale_flows.is_empty());
            assert!(Arc::ptr_eq(&before, &changes.snapshot));
        };
        still(&mut world);
        world.proxy.apply_service(&sticky(10));
        world.proxy.apply_endpoint_slice(&slice(pods(3)));
        world.proxy.apply_node(&node());
        still(&mut world);
        let mut turned = pods(3);
        turned.reverse();
        world.proxy.apply_endpoint_slice(&slice(turned));
        still(&mut world);
        world.proxy.delete_service(&NamespacedName::new("default", "unknown"));
        world.proxy.delete_endpoint_slice(&slice_of("unknown", "unknown", []));
        still(&mut world);
        world.proxy.apply_service(&Service { load_balancer_ip: "198.51.100.9".into(), ..sticky(10) });
        still(&mut world);
    }
}

#[test]
fn reverted_changes_between_syncs_publish_nothing() {
    let mut world = World::new(iptables()).service(&service()).slice(&slice(pods(2)));
    world.proxy.apply_endpoint_slice(&slice(pods(1)));
    world.proxy.apply_endpoint_slice(&slice(pods(2)));
    world.proxy.delete_service(&NamespacedName::new("default", "web"));
    world.proxy.apply_service(&service());
    assert!(!world.sync().published);
}

#[test]
fn slice_change_touches_only_its_service() {
    let mut world = many(20);
    let before = world.proxy.snapshot().clone();
    world.proxy.apply_endpoint_slice(&slice_of("svc7", "svc7", pods(3)));
    let changes = world.sync();
    assert_eq!(changes.touched.iter().map(ToString::to_string).collect::<Vec<_>>(), ["default/svc7"]);
    assert_eq!(changes.snapshot.version(), before.version() + 1);
    let view = |snapshot: &crate::Snapshot, last: u8| {
        let flow = crate::Flow::tcp(POD.parse().unwrap(), format!("10.96.1.{last}:80").parse().unwrap());
        std::ptr::from_ref(snapshot.lookup(&flow).unwrap().usable())
    };
    for last in 1..=20 {
        assert_eq!(view(&before, last) == view(&changes.snapshot, last), last != 7, "{last}");
    }
}

#[test]
fn touches_only_the_port_that_changed() {
    let port = |name: &str, port| ServicePort { name: name.into(), port, ..ServicePort::default() };
    let slice_port = |name: &str, port| SlicePort { name: Some(name.into()), port: Some(port), ..SlicePort::default() };
    let of = |a, b| EndpointSlice { ports: vec![slice_port("a", a), slice_port("b", b)], ..slice(pods(2)) };
    let mut world = World::new(iptables())
        .service(&Service { ports: vec![port("a", 1), port("b", 2)], ..service() })
        .slice(&of(1, 2));
    world.proxy.apply_endpoint_slice(&of(1, 3));
    assert_eq!(world.sync().touched.iter().map(ToString::to_string).collect::<Vec<_>>(), ["default/web:b"]);
}

#[test]
fn old_snapshot_stays_valid_for_its_reader() {
    let mut world = World::new(Mode::Nftables).service(&service()).slice(&slice(pods(1)));
    let before = world.proxy.snapshot().clone();
    world.proxy.delete_service(&NamespacedName::new("default", "web"));
    world.sync();
    let flow = crate::Flow::tcp(POD.parse().unwrap(), CLUSTER_IP.parse().unwrap());
    assert!(before.decide(&flow, world.now, &mut world.rng).endpoint().is_some());
    assert_eq!(world.outcome(POD, CLUSTER_IP), "drop");
}

#[test]
fn moved_service_gives_up_its_old_addresses() {
    let mut world = World::new(iptables()).service(&exposed()).slice(&slice(pods(1)));
    world = world.service(&named("web", "10.96.0.20"));
    for to in [CLUSTER_IP, EXTERNAL_IP, LOAD_BALANCER, NODE_PORT] {
        assert_eq!(world.outcome(OUTSIDE, to), "");
    }
    assert_eq!(world.to(OUTSIDE, "10.96.0.20:80"), "10.244.2.1:8080");
    world.proxy.delete_service(&NamespacedName::new("default", "web"));
    assert!(world.sync().published);
    assert_eq!(world.proxy.snapshot().frontends().count(), 0);
}

#[test]
fn service_that_becomes_headless_or_external_name_is_removed() {
    for gone in [named("web", "None"), Service { service_type: ServiceType::ExternalName, ..service() }] {
        let mut world = World::new(iptables()).service(&service()).slice(&slice(pods(1)));
        world = world.service(&gone);
        assert_eq!(world.outcome(POD, CLUSTER_IP), "");
    }
}

#[test]
fn slices_may_arrive_before_their_service() {
    let mut world = World::new(iptables()).slice(&slice(pods(1)));
    assert_eq!(world.outcome(POD, CLUSTER_IP), "");
    world = world.service(&service());
    assert_eq!(world.to(POD, CLUSTER_IP), "10.244.2.1:8080");
}

#[test]
fn public_types_are_send_and_sync() {
    fn shared<T: Send + Sync>() {}
    shared::<crate::Snapshot>();
    shared::<Proxier>();
    shared::<crate::Connection>();
    shared::<crate::DialAttempts>();
}

/// The proxy frees an old snapshot at the next sync, not the reader that drops it.
#[test]
fn readers_never_free_old_snapshots() {
    let mut proxy = Proxier::new(config(Mode::Nftables));
    let mut rng = SplitMix64::with_seed(1);
    proxy.apply_service(&named("web", "10.96.0.10"));
    let old = proxy.sync(epoch(), &mut rng).snapshot;
    let weak = Arc::downgrade(&old);
    proxy.apply_service(&named("other", "10.96.0.11"));
    proxy.sync(epoch(), &mut rng);
    drop(old);
    assert!(weak.upgrade().is_some(), "the proxy still holds the snapshot");
    proxy.sync(epoch(), &mut rng);
    assert!(weak.upgrade().is_none(), "the proxy frees the snapshot");
}
