//! The behavior that only nftables mode has.

use super::world::*;
use crate::{Mode, Reason, Scheduler, object::*};

#[test]
fn rejects_unserved_port_of_a_cluster_ip() {
    let mut world = World::new(Mode::Nftables).service(&service()).slice(&slice(pods(1)));
    let verdict = world.tcp(POD, "10.96.0.10:81");
    assert_eq!(outcome(&verdict), "reject");
    assert!(matches!(verdict.reason, Reason::UnservedPort));
    assert_eq!(outcome(&world.flow(Protocol::Udp, POD, CLUSTER_IP)), "reject", "another protocol is another port");
}

#[test]
fn drops_unallocated_address_of_the_service_range() {
    let mut world = World::new(Mode::Nftables).service(&service());
    let verdict = world.tcp(POD, "10.96.0.11:80");
    assert_eq!(outcome(&verdict), "drop");
    assert!(matches!(verdict.reason, Reason::Unallocated));
    world.proxy.delete_service(&crate::NamespacedName::new("default", "web"));
    world.sync();
    assert_eq!(world.outcome(POD, "10.96.0.10:81"), "drop", "the Service was deleted");
}

#[test]
fn ignores_traffic_to_other_addresses() {
    let mut world = World::new(Mode::Nftables).service(&exposed());
    assert_eq!(world.outcome(POD, "10.244.2.1:8080"), "");
    assert_eq!(world.outcome(POD, "198.51.100.8:81"), "", "not a cluster IP");
    assert_eq!(world.outcome(POD, "10.244.2.1:0"), "");
}

#[test]
fn other_modes_ignore_unserved_ports_and_unallocated_addresses() {
    for mode in [iptables(), Mode::Userspace, ipvs(Scheduler::RoundRobin)] {
        let mut world = World::new(mode).service(&service()).slice(&slice(pods(1)));
        assert_eq!(world.outcome(POD, "10.96.0.10:81"), "");
        assert_eq!(world.outcome(POD, "10.96.0.11:80"), "");
    }
}

#[test]
fn cluster_ip_is_known_until_its_last_port_is_removed() {
    let port = |name: &str, port| ServicePort { name: name.into(), port, ..ServicePort::default() };
    let with = |ports| Service { ports, ..service() };
    let mut world = World::new(Mode::Nftables).service(&with(vec![port("a", 1), port("b", 2), port("c", 3)]));
    assert_eq!(world.outcome(POD, "10.96.0.10:9"), "reject");
    world = world.service(&with(vec![port("c", 3)]));
    assert_eq!(world.outcome(POD, "10.96.0.10:1"), "reject");
    assert_eq!(world.outcome(POD, "10.96.0.10:9"), "reject");
}

/// `numgen random mod n`.
#[test]
fn endpoints_are_equally_likely() {
    let mut world = World::new(Mode::Nftables).service(&service()).slice(&slice(pods(7)));
    let mut counts = [0; 7];
    for _ in 0..70_000 {
        let addr = world.tcp(POD, CLUSTER_IP).endpoint().unwrap();
        counts[addr.to_string().as_bytes()[9] as usize - b'1' as usize] += 1;
    }
    // 6 degrees of freedom: exceeds 22.5 once in a thousand runs.
    assert!(chi_square(&counts) < 22.5, "{counts:?}");
}

#[test]
fn client_is_known_until_just_before_the_timeout_which_each_connection_restarts() {
    let mut world = World::new(Mode::Nftables).service(&sticky(10)).slice(&slice(pods(9)));
    let first = world.to(POD, CLUSTER_IP);
    for _ in 0..20 {
        world.pass(ms(9_999));
        assert_eq!(world.to(POD, CLUSTER_IP), first);
    }
    world.pass(secs(10));
    let verdict = world.tcp(POD, CLUSTER_IP);
    assert_eq!(verdict.matched().unwrap().choice, crate::Choice::Recorded, "affinity ends exactly at the timeout");
}

#[test]
fn affinity_has_no_client_limit() {
    let mut world = World::new(Mode::Nftables).service(&sticky(10)).slice(&slice(pods(1)));
    let client = |n: u32| format!("10.244.{}.{}:1", n / 250, n % 250 + 1);
    for n in 0..500 {
        world.to(&client(n), CLUSTER_IP);
    }
    let known = |verdict: crate::Verdict<'_>| verdict.matched().unwrap().choice == crate::Choice::Remembered;
    assert!((0..500).all(|n| known(world.tcp(&client(n), CLUSTER_IP))));
}
