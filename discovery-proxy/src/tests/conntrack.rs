//! UDP flows to forget. TestCleanStaleEntries.

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
fn flows_to_an_endpoint_that_is_gone_are_forgotten_and_others_kept() {
    let mut world = world();
    world.proxy.apply_endpoint_slice(&endpoints(pods(1)));
    let stale = world.sync().stale_flows;
    for destination in [VIP, "198.51.100.7:53", "192.168.0.1:3053"] {
        assert!(is_stale(&stale, destination, TWO), "{destination}");
        assert!(!is_stale(&stale, destination, ONE), "{destination}");
    }
}

/// `net.JoinHostPort(replySrc, replyPortSrcStr)` of k/k 1.36 pkg/proxy/conntrack/cleanup.go; seen with kube-proxy 1.36.3.
#[test]
fn flows_to_another_number_of_the_same_pod_are_forgotten() {
    let mut world = world();
    let ports = vec![SlicePort { protocol: Protocol::Udp, port: Some(5454), ..SlicePort::default() }];
    world.proxy.apply_endpoint_slice(&EndpointSlice { ports, ..endpoints(pods(2)) });
    let stale = world.sync().stale_flows;
    assert!(is_stale(&stale, VIP, ONE));
    assert!(!is_stale(&stale, VIP, "10.244.2.1:5454"));
}

#[test]
fn flows_that_nothing_translated_are_forgotten() {
    let mut world = World::new(iptables()).service(&udp("web", "10.96.0.10"));
    world.proxy.apply_endpoint_slice(&endpoints(pods(1)));
    assert!(is_stale(&world.sync().stale_flows, VIP, VIP));
}

#[test]
fn whoever_serves_keeps_its_flows_ready_or_not() {
    let mut world = world();
    let terminating = closing(pod("10.244.2.1"));
    world.proxy.apply_endpoint_slice(&endpoints(vec![terminating, with(pod("10.244.2.2"), false, false, true)]));
    let stale = world.sync().stale_flows;
    assert!(!is_stale(&stale, VIP, ONE));
    assert!(is_stale(&stale, VIP, TWO));
}

#[test]
fn policies_and_topology_do_not_matter() {
    let mut world = world();
    world.proxy.apply_service(&Service { internal_traffic_policy: TrafficPolicy::Local, ..udp("web", "10.96.0.10") });
    let changes = world.sync();
    assert!(changes.published && !is_stale(&changes.stale_flows, VIP, ONE));
}

#[test]
fn tcp_and_sctp_flows_are_never_touched() {
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
fn flows_to_others_are_kept() {
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
fn a_service_without_endpoints_loses_all_its_flows() {
    let mut world = world();
    world.proxy.delete_endpoint_slice(&endpoints(vec![]));
    assert!(is_stale(&world.sync().stale_flows, VIP, ONE));
}

/// PR 141371.
#[test]
fn a_deleted_service_loses_all_its_flows() {
    let mut world = world();
    world.proxy.delete_service(&NamespacedName::new("default", "web"));
    let stale = world.sync().stale_flows;
    assert!(is_stale(&stale, VIP, ONE) && is_stale(&stale, "192.168.0.1:3053", ONE));
}

#[test]
fn an_address_that_is_given_up_loses_its_flows() {
    let mut world = world();
    world.proxy.apply_service(&Service { external_ips: vec![], ..udp("web", "10.96.0.10") });
    let stale = world.sync().stale_flows;
    assert!(is_stale(&stale, "198.51.100.7:53", ONE));
    assert!(!is_stale(&stale, VIP, ONE) && !is_stale(&stale, "192.168.0.1:3053", ONE));
}
