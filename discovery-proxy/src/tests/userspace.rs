//! Round robin with its quirks. The names in brackets are of k/k pkg/proxy/userspace/roundrobin_test.go.

use super::world::*;
use crate::{Choice, DIAL_TIMEOUTS, Flow, Masquerade, Mode, object::*};

fn world(service: &Service) -> World {
    World::new(Mode::Userspace).service(service)
}

fn flow(from: &str) -> Flow<'static> {
    Flow::tcp(from.parse().unwrap(), CLUSTER_IP.parse().unwrap())
}

/// So many connections, one after the other.
fn run(world: &mut World, n: usize) -> Vec<String> {
    (0..n).map(|_| world.to(POD, CLUSTER_IP)).collect()
}

/// [TestLoadBalanceWorksWithMultipleEndpoints]
#[test]
fn endpoints_take_turns_in_a_shuffled_order() {
    let mut world = world(&service()).slice(&slice(pods(4)));
    let round = run(&mut world, 4);
    assert_eq!(run(&mut world, 8), [&round[..], &round[..]].concat());
    let mut sorted = round.clone();
    sorted.sort();
    assert_eq!(sorted, ["10.244.2.1:8080", "10.244.2.2:8080", "10.244.2.3:8080", "10.244.2.4:8080"]);
}

#[test]
fn the_shuffle_is_uniform() {
    let mut counts = std::collections::BTreeMap::new();
    let mut world = world(&service());
    for _ in 0..6_000 {
        world = world.slice(&slice([])).slice(&slice(pods(3)));
        *counts.entry(run(&mut world, 3)).or_insert(0) += 1;
    }
    // 5 degrees of freedom: 20.5 is passed once in a thousand.
    let counts: Vec<u32> = counts.into_values().collect();
    assert!(counts.len() == 6 && chi_square(&counts) < 20.5, "{counts:?}");
}

#[test]
fn the_same_endpoints_in_another_order_change_nothing() {
    let mut world = world(&service()).slice(&slice(pods(4)));
    let round = run(&mut world, 4);
    assert_eq!(run(&mut world, 1), [round[0].clone()]);
    let mut turned = pods(4);
    turned.reverse();
    world = world.slice(&slice(turned));
    assert_eq!(run(&mut world, 3), round[1..]);
}

/// [TestLoadBalanceWorksWithMultipleEndpointsAndUpdates]
#[test]
fn new_endpoints_begin_a_new_round() {
    let mut world = world(&service()).slice(&slice(pods(4)));
    run(&mut world, 1);
    world = world.slice(&slice(pods(3)));
    let mut round = run(&mut world, 3);
    round.sort();
    assert_eq!(round, ["10.244.2.1:8080", "10.244.2.2:8080", "10.244.2.3:8080"]);
}

/// [TestLoadBalanceFailsWithNoEndpoints]
#[test]
fn without_endpoints_a_connection_is_closed_and_a_datagram_lost() {
    let mut world = world(&service()).slice(&slice(pods(1))).slice(&slice([]));
    assert_eq!(world.outcome(POD, CLUSTER_IP), "reject");
    let ports = vec![ServicePort { port: 80, protocol: Protocol::Udp, ..ServicePort::default() }];
    world = world.service(&Service { ports, ..service() });
    assert_eq!(outcome(&world.flow(Protocol::Udp, POD, CLUSTER_IP)), "drop");
}

#[test]
fn duplicates_have_two_turns() {
    let mut world = world(&service()).slice(&slice_of("web", "a", pods(1))).slice(&slice_of("web", "b", pods(2)));
    let mut round = run(&mut world, 3);
    round.sort();
    assert_eq!(round, ["10.244.2.1:8080", "10.244.2.1:8080", "10.244.2.2:8080"]);
}

#[test]
fn unready_endpoints_have_no_turn() {
    let mut world = world(&service()).slice(&slice([unready(pod("10.244.2.1")), pod("10.244.2.2")]));
    assert_eq!(world.reached(POD, CLUSTER_IP), ["10.244.2.2:8080"]);
}

/// [TestStickyLoadBalanceWorksWithMultipleEndpoints]
#[test]
fn a_known_client_takes_nobodys_turn() {
    let mut world = world(&sticky(10)).slice(&slice(pods(3)));
    let first = world.to(POD, CLUSTER_IP);
    let second = world.to("10.244.1.8:1", CLUSTER_IP);
    assert_ne!(first, second);
    assert_eq!(run(&mut world, 5), vec![first.clone(); 5]);
    let third = world.to("10.244.1.9:1", CLUSTER_IP);
    assert!(third != first && third != second);
    assert_eq!(world.tcp(POD, CLUSTER_IP).matched().unwrap().choice, Choice::Remembered);
}

#[test]
fn a_client_is_known_for_whole_seconds_less_than_the_timeout() {
    let mut world = world(&sticky(10)).slice(&slice(pods(3)));
    let choice = |world: &mut World| world.tcp(POD, CLUSTER_IP).matched().unwrap().choice;
    assert_eq!(choice(&mut world), Choice::Recorded);
    world.pass(ms(9_999));
    assert_eq!(choice(&mut world), Choice::Remembered);
    world.pass(secs(10));
    assert_eq!(choice(&mut world), Choice::Recorded);
}

#[test]
fn a_timeout_of_zero_is_three_hours() {
    let mut world = world(&sticky(0)).slice(&slice(pods(3)));
    let first = world.to(POD, CLUSTER_IP);
    world.pass(secs(10_799));
    assert_eq!(world.to(POD, CLUSTER_IP), first);
    world.pass(secs(10_800));
    assert_eq!(world.tcp(POD, CLUSTER_IP).matched().unwrap().choice, Choice::Recorded);
}

#[test]
fn endpoints_before_their_service_make_it_three_hours_for_good() {
    let mut world = World::new(Mode::Userspace).slice(&slice(pods(3))).service(&sticky(10));
    let first = world.to(POD, CLUSTER_IP);
    world.pass(secs(10_799));
    assert_eq!(world.to(POD, CLUSTER_IP), first);
}

#[test]
fn an_update_forgets_the_clients_of_removed_endpoints_only() {
    let mut world = world(&sticky(1000)).slice(&slice(pods(3)));
    let clients = ["10.244.1.1:1", "10.244.1.2:1", "10.244.1.3:1"];
    let before = clients.map(|client| world.to(client, CLUSTER_IP));
    world = world.slice(&slice(pods(2)));
    for (client, endpoint) in clients.into_iter().zip(before) {
        let choice = if endpoint == "10.244.2.3:8080" { Choice::Recorded } else { Choice::Remembered };
        assert_eq!(world.tcp(client, CLUSTER_IP).matched().unwrap().choice, choice);
    }
}

#[test]
fn losing_all_endpoints_forgets_all_clients() {
    let mut world = world(&sticky(1000)).slice(&slice(pods(1)));
    world.to(POD, CLUSTER_IP);
    world.proxy.delete_endpoint_slice(&slice([]));
    world.sync();
    assert_eq!(world.outcome(POD, CLUSTER_IP), "reject");
    world = world.slice(&slice(pods(1)));
    assert_eq!(world.tcp(POD, CLUSTER_IP).matched().unwrap().choice, Choice::Recorded);
}

#[test]
fn four_attempts_each_with_a_turn_and_a_longer_timeout() {
    let mut world = world(&service()).slice(&slice(pods(3)));
    let round = run(&mut world, 3);
    let mut dial = world.proxy.snapshot().dial_attempts(&flow(POD)).unwrap();
    let attempts: Vec<_> = std::iter::from_fn(|| dial.attempt(world.now)).collect();
    assert_eq!(attempts.iter().map(|attempt| attempt.timeout).collect::<Vec<_>>(), DIAL_TIMEOUTS);
    assert_eq!(DIAL_TIMEOUTS.iter().sum::<std::time::Duration>(), ms(3_750));
    let addrs: Vec<_> = attempts.iter().map(|attempt| attempt.addr.to_string()).collect();
    assert_eq!(addrs, [&round[..], &round[..1]].concat(), "with three endpoints, the first is tried twice");
}

#[test]
fn from_the_second_attempt_on_the_client_is_moved() {
    let mut world = world(&sticky(1000)).slice(&slice(pods(3)));
    let first = world.to(POD, CLUSTER_IP);
    let mut dial = world.proxy.snapshot().dial_attempts(&flow(POD)).unwrap();
    assert_eq!(dial.attempt(world.now).unwrap().addr.to_string(), first);
    let second = dial.attempt(world.now).unwrap().addr.to_string();
    assert_ne!(second, first);
    assert_eq!(world.to(POD, CLUSTER_IP), second, "though nobody knows whether it answers");
}

#[test]
fn no_endpoint_ends_the_attempts_at_once_and_other_modes_have_none() {
    let mut world = world(&service());
    let mut dial = world.proxy.snapshot().dial_attempts(&flow(POD)).unwrap();
    assert_eq!(dial.attempt(world.now), None);
    world = World::new(iptables()).service(&service());
    assert!(world.proxy.snapshot().dial_attempts(&flow(POD)).is_none());
}

#[test]
fn the_endpoint_always_sees_the_node() {
    let mut world = world(&service()).slice(&slice(pods(1)));
    let verdict = world.tcp(POD, CLUSTER_IP);
    assert!(verdict.is_masqueraded());
    assert_eq!(verdict.matched().unwrap().masquerade, Masquerade::Userspace);
}

#[test]
fn sctp_is_not_supported() {
    let ports = vec![ServicePort { port: 80, protocol: Protocol::Sctp, ..ServicePort::default() }];
    let slice_ports = vec![SlicePort { protocol: Protocol::Sctp, port: Some(80), ..SlicePort::default() }];
    let mut world = world(&Service { ports, ..service() });
    world = world.slice(&EndpointSlice { ports: slice_ports, ..slice(pods(1)) });
    assert_eq!(outcome(&world.flow(Protocol::Sctp, POD, CLUSTER_IP)), "");
}
