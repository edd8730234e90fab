//! UDP flows to forget. Upstream: TestCleanStaleEntries.

use super::world::*;
use crate::{NamespacedName, StaleFlows, TrackedFlow, object::*};

fn udp(name: &str, ip: &str) -> Service {
    let ports = vec![ServicePort { port: 53, protocol: Protocol::Udp, node_port: 3053, ..ServicePort::default() }];
    Service { ports, external_ips: vec!["198.51.100.7".into()], ..named(name, ip) }
}

fn endpoints(endpoints: Vec<SliceEndpoint>) -> EndpointSlice {
    let ports = vec![SlicePort { protocol: Protocol::Udp, port: Some(5353), ..SlicePort::default() }];
    EndpointSlice { ports, ..slice(endpoints) }
}

fn world() -> World {
    World::new(iptables()).service(&udp("web", "10.96.0.10")).slice(&endpoints(pods(2)))
}

fn is_stale(flows: &StaleFlows, destination: &str, backend: &str) -> bool {
    is_stale_of(flows, Protocol::Udp, destination, backend)
}

fn is_stale_of(flows: &StaleFlows, protocol: Protocol, destination: &str, backend: &str) -> bool {
    let (destination, backend) = (destination.parse().expect("a destination"), backend.parse().expect("a backend"));
    flows.contains(&TrackedFlow { protocol, destination, backend })
}

const VIP: &str = "10.96.0.10:53";
const ONE: &str = "10.244.2.1:5353";
const TWO: &str = "10.244.2.2:5353";

#[test]
fn forgets_only_flows_to_removed_endpoints() {
    let mut world = world();
    world.proxy.apply_endpoint_slice(&endpoints(pods(1)));
    let stale = world.sync().stale_flows;
    for destination in [VIP, "198.51.100.7:53", "192.168.0.1:3053"] {
        assert!(is_stale(&stale, destination, TWO), "{destination}");
        assert!(!is_stale(&stale, destination, ONE), "{destination}");
    }
}

/// `net.JoinHostPort(replySrc, replyPortSrcStr)` of k/k 1.36 pkg/proxy/conntrack/cleanup.go; observed with kube-proxy
/// 1.36.3.
#[test]
fn forgets_flows_to_the_old_port_of_a_pod() {
    let mut world = world();
    let ports = vec![SlicePort { protocol: Protocol::Udp, port: Some(5454), ..SlicePort::default() }];
    world.proxy.apply_endpoint_slice(&EndpointSlice { ports, ..endpoints(pods(2)) });
    let stale = world.sync().stale_flows;
    assert!(is_stale(&stale, VIP, ONE));
    assert!(!is_stale(&stale, VIP, "10.244.2.1:5454"));
}

#[test]
fn forgets_untranslated_flows() {
    let mut world = World::new(iptables()).service(&udp("web", "10.96.0.10"));
    world.proxy.apply_endpoint_slice(&endpoints(pods(1)));
    assert!(is_stale(&world.sync().stale_flows, VIP, VIP));
}

#[test]
fn keeps_flows_to_serving_endpoints_that_are_not_ready() {
    let mut world = world();
    let terminating = closing(pod("10.244.2.1"));
    world.proxy.apply_endpoint_slice(&endpoints(vec![terminating, with(pod("10.244.2.2"), false, false, true)]));
    let stale = world.sync().stale_flows;
    assert!(!is_stale(&stale, VIP, ONE));
    assert!(is_stale(&stale, VIP, TWO));
}

#[test]
fn policy_change_keeps_flows() {
    let mut world = world();
    world.proxy.apply_service(&Service { internal_traffic_policy: TrafficPolicy::Local, ..udp("web", "10.96.0.10") });
    let changes = world.sync();
    assert!(changes.published && !is_stale(&changes.stale_flows, VIP, ONE));
}

#[test]
fn never_forgets_tcp_and_sctp_flows() {
    let mut world = world();
    world.proxy.apply_endpoint_slice(&endpoints(vec![]));
    let stale = world.sync().stale_flows;
    for protocol in [Protocol::Tcp, Protocol::Sctp] {
        assert!(!is_stale_of(&stale, protocol, VIP, ONE));
    }
    let mut tcp = World::new(iptables()).service(&service()).slice(&slice(pods(2)));
    tcp.proxy.apply_endpoint_slice(&slice(pods(1)));
    assert!(tcp.sync().stale_flows.is_empty());
}

#[test]
fn keeps_flows_to_other_services() {
    let mut world = world().service(&Service {
        external_ips: vec![],
        ports: vec![ServicePort { port: 53, protocol: Protocol::Udp, ..ServicePort::default() }],
        ..named("other", "10.96.0.11")
    });
    world.proxy.apply_endpoint_slice(&endpoints(vec![]));
    let stale = world.sync().stale_flows;
    for destination in ["10.96.0.11:53", "10.96.0.10:54", "8.8.8.8:53", "192.168.0.1:3054"] {
        assert!(!is_stale(&stale, destination, "10.244.2.9:5353"), "{destination}");
    }
}

/// Issue 139628: releases 1.32 to 1.35 kept them.
#[test]
fn forgets_flows_to_a_service_without_endpoints() {
    let mut world = world();
    world.proxy.delete_endpoint_slice(&endpoints(vec![]));
    assert!(is_stale(&world.sync().stale_flows, VIP, ONE));
}

/// PR 141371.
#[test]
fn forgets_flows_to_a_deleted_service() {
    let mut world = world();
    world.proxy.delete_service(&NamespacedName::new("default", "web"));
    let stale = world.sync().stale_flows;
    assert!(is_stale(&stale, VIP, ONE) && is_stale(&stale, "192.168.0.1:3053", ONE));
}

#[test]
fn forgets_flows_to_an_address_that_was_given_up() {
    let mut world = world();
    world.proxy.apply_service(&Service { external_ips: vec![], ..udp("web", "10.96.0.10") });
    let stale = world.sync().stale_flows;
    assert!(is_stale(&stale, "198.51.100.7:53", ONE));
    assert!(!is_stale(&stale, VIP, ONE) && !is_stale(&stale, "192.168.0.1:3053", ONE));
}
