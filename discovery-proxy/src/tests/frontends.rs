//! The list of frontends agrees with the lookup of each address.

use std::collections::BTreeSet;

use super::world::*;
use crate::{Flow, Mode, Scheduler, Snapshot, object::*};

fn listed(snapshot: &Snapshot) -> BTreeSet<String> {
    snapshot.frontends().map(|one| format!("{} {}", one.protocol, one.address)).collect()
}

fn all_listed(mode: Mode) -> BTreeSet<String> {
    let mut service = exposed();
    service.ports.push(ServicePort { name: "s".into(), protocol: Protocol::Sctp, port: 90, ..ServicePort::default() });
    let world = World::new(mode).service(&service).slice(&slice(pods(1)));
    let snapshot = world.proxy.snapshot().clone();
    for one in snapshot.frontends() {
        let flow = Flow::new(one.protocol, OUTSIDE.parse().unwrap(), one.address);
        let found = snapshot.lookup(&flow).expect("a listed address is found");
        assert_eq!((found.name(), found.destination()), (one.port.name(), one.port.destination()));
    }
    listed(&snapshot)
}

fn set<const N: usize>(texts: [&str; N]) -> BTreeSet<String> {
    texts.map(str::to_owned).into()
}

const TCP: [&str; 3] = ["TCP 10.96.0.10:80", "TCP 198.51.100.7:80", "TCP 198.51.100.8:80"];
const SCTP: [&str; 3] = ["SCTP 10.96.0.10:90", "SCTP 198.51.100.7:90", "SCTP 198.51.100.8:90"];

/// As in the table of modes in `lib.rs`, "node ports by default".
#[test]
fn lists_node_ports_at_the_addresses_that_serve_them() {
    let common = &set(TCP) | &set(SCTP);
    let on = |ips: &[&str]| -> BTreeSet<String> { ips.iter().map(|ip| format!("TCP {ip}:3001")).collect() };
    assert_eq!(all_listed(iptables()), &common | &on(&["192.168.0.1", "172.16.0.1", "127.0.0.1"]));
    assert_eq!(all_listed(ipvs(Scheduler::RoundRobin)), &common | &on(&["192.168.0.1", "172.16.0.1"]));
    assert_eq!(all_listed(Mode::Nftables), &common | &on(&["192.168.0.1"]));
}

#[test]
fn userspace_mode_lists_no_sctp() {
    let node_ports = set(["TCP 192.168.0.1:3001", "TCP 172.16.0.1:3001", "TCP 127.0.0.1:3001"]);
    assert_eq!(all_listed(Mode::Userspace), &set(TCP) | &node_ports);
}

#[test]
fn does_not_list_removed_addresses() {
    let mut world = World::new(Mode::Nftables).service(&exposed());
    world = world.service(&named("web", "10.96.0.11"));
    assert_eq!(listed(world.proxy.snapshot()), set(["TCP 10.96.0.11:80"]));
    world.proxy.delete_service(&crate::NamespacedName::new("default", "web"));
    world.sync();
    assert_eq!(listed(world.proxy.snapshot()), BTreeSet::new());
}
