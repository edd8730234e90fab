//! Userspace mode: round robin with its quirks. The names in brackets are tests in k/k
//! pkg/proxy/userspace/roundrobin_test.go.

use super::world::*;
use crate::{Choice, DIAL_TIMEOUTS, Flow, Masquerade, Mode, object::*};

fn world(service: &Service) -> World {
    World::new(Mode::Userspace).service(service)
}

fn flow(from: &str) -> Flow<'static> {
    Flow::tcp(from.parse().unwrap(), CLUSTER_IP.parse().unwrap())
}

/// Makes `n` connections one after the other, and returns their endpoints.
fn run(world: &mut World, n: usize) -> Vec<String> {
    (0..n).map(|_| world.to(POD, CLUSTER_IP)).collect()
}

/// [TestLoadBalanceWorksWithMultipleEndpoints]
#[test]
fn round_robin_over_shuffled_endpoints() {
    let mut world = world(&service()).slice(&slice(pods(4)));
    let round = run(&mut world, 4);
    assert_eq!(run(&mut world, 8), [&round[..], &round[..]].concat());
    let mut sorted = round.clone();
    sorted.sort();
    assert_eq!(sorted, ["10.244.2.1:8080", "10.244.2.2:8080", "10.244.2.3:8080", "10.244.2.4:8080"]);
}

#[test]
fn shuffle_is_uniform() {
    let mut counts = std::collections::BTreeMap::new();
    let mut world = world(&service());
    for _ in 0..6_000 {
        world = world.slice(&slice([])).slice(&slice(pods(3)));
        *counts.entry(run(&mut world, 3)).or_insert(0) += 1;
    }
    // 5 degrees of freedom: exceeds 20.5 once in a thousand runs.
    let counts: Vec<u32> = counts.into_values().collect();
    assert!(counts.len() == 6 && chi_square(&counts) < 20.5, "{counts:?}");
}

#[test]
fn reordered_endpoints_do_not_restart_the_round() {
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
fn new_endpoints_restart_the_round() {
    let mut world = world(&service()).slice(&slice(pods(4)));
    run(&mut world, 1);
    world = world.slice(&slice(pods(3)));
    let mut round = run(&mut world, 3);
    round.sort();
    assert_eq!(round, ["10.244.2.1:8080", "10.244.2.2:8080", "10.244.2.3:8080"]);
}

/// [TestLoadBalanceFailsWithNoEndpoints]
#[test]
fn without_endpoints_closes_connections_and_drops_datagrams() {
    let mut world = world(&service()).slice(&slice(pods(1))).slice(&slice([]));
    assert_eq!(world.outcome(POD, CLUSTER_IP), "reject");
    let ports = vec![ServicePort { port: 80, protocol: Protocol::Udp, ..ServicePort::default() }];
    world = world.service(&Service { ports, ..service() });
    assert_eq!(outcome(&world.flow(Protocol::Udp, POD, CLUSTER_IP)), "drop");
}

#[test]
fn duplicate_endpoint_gets_two_turns() {
    let mut world = world(&service()).slice(&slice_of("web", "a", pods(1))).slice(&slice_of("web", "b", pods(2)));
    let mut round = run(&mut world, 3);
    round.sort();
    assert_eq!(round, ["10.244.2.1:8080", "10.244.2.1:8080", "10.244.2.2:8080"]);
}

#[test]
fn unready_endpoint_gets_no_turn() {
    let mut world = world(&service()).slice(&slice([unready(pod("10.244.2.1")), pod("10.244.2.2")]));
    assert_eq!(world.reached(POD, CLUSTER_IP), ["10.244.2.2:8080"]);
}

/// [TestStickyLoadBalanceWorksWithMultipleEndpoints]
#[test]
fn remembered_client_does_not_use_up_a_turn() {
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
fn client_is_known_for_fewer_whole_seconds_than_the_timeout() {
    let mut world = world(&sticky(10)).slice(&slice(pods(3)));
    let choice = |world: &mut World| world.tcp(POD, CLUSTER_IP).matched().unwrap().choice;
    assert_eq!(choice(&mut world), Choice::Recorded);
    world.pass(ms(9_999));
    assert_eq!(choice(&mut world), Choice::Remembered);
    world.pass(secs(10));
    assert_eq!(choice(&mut world), Choice::Recorded);
}

#[test]
fn timeout_of_zero_is_three_hours() {
    let mut world = world(&sticky(0)).slice(&slice(pods(3)));
    let first = world.to(POD, CLUSTER_IP);
    world.pass(secs(10_799));
    assert_eq!(world.to(POD, CLUSTER_IP), first);
    world.pass(secs(10_800));
    assert_eq!(world.tcp(POD, CLUSTER_IP).matched().unwrap().choice, Choice::Recorded);
}

#[test]
fn timeout_stays_three_hours_if_endpoints_come_before_the_service() {
    let mut world = World::new(Mode::Userspace).slice(&slice(pods(3))).service(&sticky(10));
    let first = world.to(POD, CLUSTER_IP);
    world.pass(secs(10_799));
    assert_eq!(world.to(POD, CLUSTER_IP), first);
}

#[test]
fn update_forgets_only_clients_of_removed_endpoints() {
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
fn makes_four_attempts_with_increasing_timeouts() {
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
fn second_attempt_moves_the_client() {
    let mut world = world(&sticky(1000)).slice(&slice(pods(3)));
    let first = world.to(POD, CLUSTER_IP);
    let mut dial = world.proxy.snapshot().dial_attempts(&flow(POD)).unwrap();
    assert_eq!(dial.attempt(world.now).unwrap().addr.to_string(), first);
    let second = dial.attempt(world.now).unwrap().addr.to_string();
    assert_ne!(second, first);
    assert_eq!(world.to(POD, CLUSTER_IP), second, "affinity is recorded before the connect succeeds");
}

#[test]
fn no_attempts_without_endpoints_and_in_other_modes() {
    let mut world = world(&service());
    let mut dial = world.proxy.snapshot().dial_attempts(&flow(POD)).unwrap();
    assert_eq!(dial.attempt(world.now), None);
    world = World::new(iptables()).service(&service());
    assert!(world.proxy.snapshot().dial_attempts(&flow(POD)).is_none());
}

#[test]
fn endpoint_always_sees_the_nodes_address() {
    let mut world = world(&service()).slice(&slice(pods(1)));
    let verdict = world.tcp(POD, CLUSTER_IP);
    assert!(verdict.is_masqueraded());
    assert_eq!(verdict.matched().unwrap().masquerade, Masquerade::Userspace);
}

#[test]
fn sctp_is_not_proxied() {
    let ports = vec![ServicePort { port: 80, protocol: Protocol::Sctp, ..ServicePort::default() }];
    let slice_ports = vec![SlicePort { protocol: Protocol::Sctp, port: Some(80), ..SlicePort::default() }];
    let mut world = world(&Service { ports, ..service() });
    world = world.slice(&EndpointSlice { ports: slice_ports, ..slice(pods(1)) });
    assert_eq!(outcome(&world.flow(Protocol::Sctp, POD, CLUSTER_IP)), "");
}
