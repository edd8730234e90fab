//! The node's addresses that serve node ports. Upstream: TestGetNodeIPs, TestNodePorts.

use super::world::*;
use crate::{Config, Mode, Scheduler, object::*};

/// The candidate addresses at which node port 3001 is served.
fn answering(config: Config) -> Vec<&'static str> {
    let mut world = World::with(config).service(&exposed()).slice(&slice(pods(1)));
    let all = ["192.168.0.1", "172.16.0.1", "127.0.0.1", "127.0.0.2", "192.168.0.2"];
    all.into_iter().filter(|ip| world.tcp(OUTSIDE, &format!("{ip}:3001")).endpoint().is_some()).collect()
}

fn with(mode: Mode, ranges: &[&str]) -> Config {
    config(mode).with_node_port_addresses(ranges.iter().map(|range| cidr(range)))
}

#[test]
fn iptables_serves_node_ports_at_every_local_address_by_default() {
    let all = ["192.168.0.1", "172.16.0.1", "127.0.0.1", "127.0.0.2"];
    assert_eq!(answering(with(iptables(), &[])), all);
    assert_eq!(answering(with(Mode::Userspace, &[])), all);
}

#[test]
fn iptables_serves_node_ports_on_loopback_unless_switched_off() {
    let off = with(iptables(), &[]).with_localhost_node_ports(false);
    assert_eq!(answering(off), ["192.168.0.1", "172.16.0.1"]);
    assert_eq!(answering(with(iptables(), &["127.0.0.0/8"])), ["127.0.0.1"]);
    assert!(answering(with(iptables(), &["127.0.0.0/8"]).with_localhost_node_ports(false)).is_empty());
}

#[test]
fn ipv6_loopback_never_has_node_ports() {
    let v6 = Service { ip_families: vec![IpFamily::V6], cluster_ips: vec!["fd00:96::a".into()], ..exposed() };
    let endpoints = EndpointSlice { address_type: AddressType::V6, ..slice(["fd00::2"].map(pod)) };
    let config = Config::new(IpFamily::V6, iptables()).with_node_name("here");
    let mut world = World::with(config).service(&v6).slice(&endpoints);
    assert_eq!(world.outcome("[fd00::7]:1", "[::1]:3001"), "");
    assert_eq!(world.outcome("[fd00::7]:1", "[fd00::1]:3001"), "[fd00::2]:8080 masqueraded");
}

#[test]
fn nftables_serves_node_ports_at_the_primary_address_by_default() {
    assert_eq!(answering(with(Mode::Nftables, &[])), ["192.168.0.1"]);
}

#[test]
fn nftables_never_serves_node_ports_on_loopback() {
    assert_eq!(answering(with(Mode::Nftables, &["127.0.0.0/8", "172.16.0.0/16"])), ["172.16.0.1"]);
    assert_eq!(answering(with(Mode::Nftables, &["0.0.0.0/0"])), ["192.168.0.1", "172.16.0.1"]);
}

#[test]
fn ipvs_never_serves_node_ports_on_loopback() {
    assert_eq!(answering(with(ipvs(Scheduler::RoundRobin), &[])), ["192.168.0.1", "172.16.0.1"]);
}

#[test]
fn without_ranges_of_this_family_every_address_matches() {
    assert_eq!(answering(with(iptables(), &["fd00::/8"])).len(), 4);
    assert_eq!(answering(with(Mode::Nftables, &["fd00::/8"])), ["192.168.0.1", "172.16.0.1"]);
}

#[test]
fn zero_range_makes_other_ranges_irrelevant() {
    assert_eq!(answering(with(iptables(), &["10.0.0.0/8", "0.0.0.0/0"])).len(), 4);
}

#[test]
fn serves_node_ports_at_addresses_inside_the_ranges() {
    assert_eq!(answering(with(iptables(), &["172.16.0.0/12", "172.16.0.0/16"])), ["172.16.0.1"]);
}

#[test]
fn node_port_applies_to_its_protocol_only() {
    let mut world = World::new(iptables()).service(&exposed()).slice(&slice(pods(1)));
    assert_eq!(outcome(&world.flow(Protocol::Udp, OUTSIDE, NODE_PORT)), "");
    assert_eq!(outcome(&world.flow(Protocol::Sctp, OUTSIDE, NODE_PORT)), "");
}

#[test]
fn node_ports_follow_the_node_to_a_new_address() {
    let mut world = World::new(ipvs(Scheduler::RoundRobin)).service(&exposed()).slice(&slice(pods(1)));
    world.proxy.apply_node(&Node { addresses: vec!["192.168.0.2".into()], ..node() });
    assert!(world.sync().published);
    assert_eq!(world.outcome(OUTSIDE, NODE_PORT), "");
    assert_eq!(world.to(OUTSIDE, "192.168.0.2:3001"), "10.244.2.1:8080");
}

/// Observed with kube-proxy 1.36.3: `KUBE-EXTERNAL-SERVICES` matches `--dst-type LOCAL`, not `--nodeport-addresses`.
#[test]
fn iptables_rejects_node_ports_without_endpoints_at_every_local_address() {
    let local = Service { external_traffic_policy: TrafficPolicy::Local, ..exposed() };
    let closed = ["172.16.0.1:3001", "127.0.0.1:3001"];
    for (mode, refused, dropped) in [(iptables(), "reject", "drop"), (Mode::Nftables, "", "")] {
        let mut world = World::with(with(mode, &["192.168.0.0/16"])).service(&local);
        for from in [POD, NODE, OUTSIDE] {
            assert_eq!(closed.map(|to| world.outcome(from, to)), [refused; 2]);
            assert_eq!(world.outcome(from, "192.168.0.2:3001"), "", "another machine's address");
        }
        world = world.slice(&slice(pods(1)));
        for from in [POD, NODE, OUTSIDE] {
            assert_eq!(closed.map(|to| world.outcome(from, to)), [dropped; 2], "also for senders in the cluster");
        }
        world = world.slice(&slice([super::world::local("10.244.1.1")]));
        assert_eq!(closed.map(|to| world.outcome(OUTSIDE, to)), [""; 2]);
        world = world.service(&exposed()).slice(&slice(pods(1)));
        assert_eq!(closed.map(|to| world.outcome(OUTSIDE, to)), [""; 2]);
    }
}
