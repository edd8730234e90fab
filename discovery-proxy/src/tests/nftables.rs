//! What only nftables mode does.

use super::world::*;
use crate::{Mode, Reason, Scheduler, object::*};

#[test]
fn an_unserved_port_of_a_cluster_ip_is_refused() {
    let mut world = World::new(Mode::Nftables).service(&service()).slice(&slice(pods(1)));
    let verdict = world.tcp(POD, "10.96.0.10:81");
    assert_eq!(outcome(&verdict), "reject");
    assert!(matches!(verdict.reason, Reason::UnservedPort));
    assert_eq!(outcome(&world.flow(Protocol::Udp, POD, CLUSTER_IP)), "reject", "another protocol is another port");
}

#[test]
fn an_unallocated_address_of_the_service_range_is_dropped() {
    let mut world = World::new(Mode::Nftables).service(&service());
    let verdict = world.tcp(POD, "10.96.0.11:80");
    assert_eq!(outcome(&verdict), "drop");
    assert!(matches!(verdict.reason, Reason::Unallocated));
    world.proxy.delete_service(&crate::NamespacedName::new("default", "web"));
    world.sync();
    assert_eq!(world.outcome(POD, "10.96.0.10:81"), "drop", "nobody has it any more");
}

#[test]
fn else_traffic_is_untouched() {
    let mut world = World::new(Mode::Nftables).service(&exposed());
    assert_eq!(world.outcome(POD, "10.244.2.1:8080"), "");
    assert_eq!(world.outcome(POD, "198.51.100.8:81"), "", "not a cluster IP");
    assert_eq!(world.outcome(POD, "10.244.2.1:0"), "");
}

#[test]
fn other_modes_leave_it_all_alone() {
    for mode in [iptables(), Mode::Userspace, ipvs(Scheduler::RoundRobin)] {
        let mut world = World::new(mode).service(&service()).slice(&slice(pods(1)));
        assert_eq!(world.outcome(POD, "10.96.0.10:81"), "");
        assert_eq!(world.outcome(POD, "10.96.0.11:80"), "");
    }
}

#[test]
fn a_cluster_ip_with_several_ports_stays_known_until_the_last_is_gone() {
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
fn each_endpoint_is_as_likely() {
    let mut world = World::new(Mode::Nftables).service(&service()).slice(&slice(pods(7)));
    let mut counts = [0; 7];
    for _ in 0..70_000 {
        let addr = world.tcp(POD, CLUSTER_IP).endpoint().unwrap();
        counts[addr.to_string().as_bytes()[9] as usize - b'1' as usize] += 1;
    }
    // 6 degrees of freedom: 22.5 is passed once in a thousand.
    assert!(chi_square(&counts) < 22.5, "{counts:?}");
}

#[test]
fn a_client_is_known_until_just_before_the_timeout_and_each_connection_begins_it_anew() {
    let mut world = World::new(Mode::Nftables).service(&sticky(10)).slice(&slice(pods(9)));
    let first = world.to(POD, CLUSTER_IP);
    for _ in 0..20 {
        world.pass(ms(9_999));
        assert_eq!(world.to(POD, CLUSTER_IP), first);
    }
    world.pass(secs(10));
    let verdict = world.tcp(POD, CLUSTER_IP);
    assert_eq!(verdict.matched().unwrap().choice, crate::Choice::Recorded, "it is over at the timeout itself");
}

#[test]
fn no_list_is_too_long() {
    let mut world = World::new(Mode::Nftables).service(&sticky(10)).slice(&slice(pods(1)));
    let client = |n: u32| format!("10.244.{}.{}:1", n / 250, n % 250 + 1);
    for n in 0..500 {
        world.to(&client(n), CLUSTER_IP);
    }
    let known = |verdict: crate::Verdict<'_>| verdict.matched().unwrap().choice == crate::Choice::Remembered;
    assert!((0..500).all(|n| known(world.tcp(&client(n), CLUSTER_IP))));
}
