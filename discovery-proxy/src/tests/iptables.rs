//! iptables mode: the uniform choice, and affinity by xt_recent.

use super::world::*;
use crate::{Choice, IptablesConfig, Mode, object::*};

#[test]
fn endpoints_are_equally_likely() {
    let mut world = World::new(iptables()).service(&service()).slice(&slice(pods(5)));
    let mut counts = [0; 5];
    for _ in 0..50_000 {
        let addr = world.tcp(POD, CLUSTER_IP).endpoint().unwrap();
        counts[addr.to_string().as_bytes()[9] as usize - b'1' as usize] += 1;
    }
    // 4 degrees of freedom: exceeds 18.5 once in a thousand runs.
    assert!(chi_square(&counts) < 18.5, "{counts:?}");
}

fn choice(world: &mut World, from: &str, to: &str) -> Choice {
    world.tcp(from, to).matched().unwrap().choice
}

#[test]
fn client_is_known_up_to_and_including_the_timeout() {
    let mut world = World::new(iptables()).service(&sticky(10)).slice(&slice(pods(9)));
    assert_eq!(choice(&mut world, POD, CLUSTER_IP), Choice::Recorded);
    let first = world.to(POD, CLUSTER_IP);
    world.pass(secs(10));
    assert_eq!(world.to(POD, CLUSTER_IP), first);
    assert_eq!(choice(&mut world, POD, CLUSTER_IP), Choice::Remembered);
    world.pass(ms(10_001));
    assert_eq!(choice(&mut world, POD, CLUSTER_IP), Choice::Recorded);
}

#[test]
fn each_connection_restarts_the_timeout() {
    let mut world = World::new(iptables()).service(&sticky(10)).slice(&slice(pods(9)));
    let first = world.to(POD, CLUSTER_IP);
    for _ in 0..30 {
        world.pass(secs(9));
        assert_eq!(world.to(POD, CLUSTER_IP), first);
    }
}

#[test]
fn addresses_of_a_port_share_affinity() {
    let service = Service { session_affinity: Affinity::ClientIp, ..exposed() };
    let mut world = World::new(iptables()).service(&service).slice(&slice(pods(9)));
    let first = world.to(OUTSIDE, CLUSTER_IP);
    for to in [EXTERNAL_IP, LOAD_BALANCER, NODE_PORT] {
        assert_eq!(world.to(OUTSIDE, to), first);
    }
}

/// Issue 103000.
#[test]
fn ports_do_not_share_affinity() {
    let port = |name: &str, port| ServicePort { name: name.into(), port, ..ServicePort::default() };
    let service = Service { ports: vec![port("a", 80), port("b", 81)], ..sticky(10) };
    let ports = ["a", "b"].map(|name| SlicePort { name: Some(name.into()), port: Some(8080), ..SlicePort::default() });
    let mut world =
        World::new(iptables()).service(&service).slice(&EndpointSlice { ports: ports.into(), ..slice(pods(9)) });
    assert_eq!(choice(&mut world, POD, CLUSTER_IP), Choice::Recorded);
    assert_eq!(choice(&mut world, POD, "10.96.0.10:81"), Choice::Recorded);
}

#[test]
fn first_usable_endpoint_that_knows_the_client_wins() {
    let local_policy =
        Service { external_traffic_policy: TrafficPolicy::Local, session_affinity: Affinity::ClientIp, ..exposed() };
    // By zone hints, the cluster set is the remote endpoint only. The local set is the local endpoint.
    let zone = |zone: &str, endpoint: SliceEndpoint| SliceEndpoint {
        hints: Some(Hints { for_zones: vec![zone.into()], for_nodes: vec![] }),
        ..endpoint
    };
    let split = slice([zone("zone-a", pod("10.244.2.2")), zone("zone-b", local("10.244.2.1"))]);
    let mut world = World::new(iptables()).service(&local_policy).slice(&split);
    assert_eq!(world.to(OUTSIDE, CLUSTER_IP), "10.244.2.2:8080");
    assert_eq!(world.to(OUTSIDE, LOAD_BALANCER), "10.244.2.1:8080");
    // Now both are in the cluster set, and .1 comes first.
    let mut world = world.slice(&slice([pod("10.244.2.2"), local("10.244.2.1")]));
    for _ in 0..20 {
        assert_eq!(world.to(OUTSIDE, CLUSTER_IP), "10.244.2.1:8080");
    }
}

#[test]
fn affinity_list_is_deleted_with_its_endpoint() {
    let mut world = World::new(iptables()).service(&sticky(1000)).slice(&slice(pods(1)));
    assert_eq!(choice(&mut world, POD, CLUSTER_IP), Choice::Recorded);
    world = world.slice(&slice([unready(pod("10.244.2.1")), pod("10.244.2.2")]));
    assert_eq!(world.to(POD, CLUSTER_IP), "10.244.2.2:8080", "unready endpoints lose clients (issue 110302)");
    world = world.slice(&slice(pods(1)));
    assert_eq!(choice(&mut world, POD, CLUSTER_IP), Choice::Recorded);
}

#[test]
fn switching_affinity_off_forgets_clients() {
    let mut world = World::new(iptables()).service(&sticky(1000)).slice(&slice(pods(1)));
    assert_eq!(choice(&mut world, POD, CLUSTER_IP), Choice::Recorded);
    world = world.service(&service());
    assert_eq!(choice(&mut world, POD, CLUSTER_IP), Choice::Balanced);
    world = world.service(&sticky(1000));
    assert_eq!(choice(&mut world, POD, CLUSTER_IP), Choice::Recorded);
}

fn client(n: u32) -> String {
    format!("10.244.{}.{}:1", n / 250, n % 250 + 1)
}

/// `ip_list_tot`.
#[test]
fn list_holds_a_hundred_clients_and_evicts_the_least_recently_refreshed() {
    let mut world = World::new(iptables()).service(&sticky(1000)).slice(&slice(pods(1)));
    for n in 0..100 {
        world.pass(ms(1));
        assert_eq!(choice(&mut world, &client(n), CLUSTER_IP), Choice::Recorded);
    }
    world.pass(ms(1));
    assert_eq!(choice(&mut world, &client(0), CLUSTER_IP), Choice::Remembered, "client 0 is refreshed");
    world.pass(ms(1));
    assert_eq!(choice(&mut world, &client(100), CLUSTER_IP), Choice::Recorded);
    world.pass(ms(1));
    for n in [0, 2, 99, 100] {
        assert_eq!(choice(&mut world, &client(n), CLUSTER_IP), Choice::Remembered, "{n}");
    }
    assert_eq!(choice(&mut world, &client(1), CLUSTER_IP), Choice::Recorded);
}

#[test]
fn client_limit_can_be_removed() {
    let mode = Mode::Iptables(IptablesConfig::default().with_recent_limit(None));
    let mut world = World::new(mode).service(&sticky(1000)).slice(&slice(pods(1)));
    for n in 0..300 {
        world.to(&client(n), CLUSTER_IP);
    }
    assert!((0..300).all(|n| choice(&mut world, &client(n), CLUSTER_IP) == Choice::Remembered));
}
