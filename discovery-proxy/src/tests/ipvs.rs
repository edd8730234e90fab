//! IPVS mode: persistence, graceful removal and mode selection.

use super::world::*;
use crate::{
    Choice, Connection, Flow, Kernel, KubeProxyFallback, Mode, ModeSelection,
    Scheduler::{self, *},
    SourceHash,
    object::*,
};

fn world(service: &Service) -> World {
    World::new(ipvs(RoundRobin)).service(service)
}

fn connect(world: &mut World, from: &str) -> Connection {
    let flow = Flow::tcp(from.parse().unwrap(), CLUSTER_IP.parse().unwrap());
    world.tcp(from, CLUSTER_IP).open(&flow).expect("a connection")
}

#[test]
fn last_endpoint_in_order_gets_the_first_turn() {
    let mut world = world(&service()).slice(&slice(pods(3)));
    let round: Vec<_> = (0..4).map(|_| world.to(POD, CLUSTER_IP)).collect();
    assert_eq!(round, ["10.244.2.3:8080", "10.244.2.2:8080", "10.244.2.1:8080", "10.244.2.3:8080"]);
}

#[test]
fn draining_destination_is_deleted_at_the_first_check_after_its_connections_end() {
    let mut world = world(&service()).slice(&slice(pods(2)));
    let connection = connect(&mut world, POD);
    assert_eq!(connection.endpoint().to_string(), "10.244.2.2:8080");
    world = world.slice(&slice(pods(1)));
    assert_eq!(world.reached(POD, CLUSTER_IP), ["10.244.2.1:8080"]);
    let at = world.proxy.tick(world.now).expect("a destination is draining");
    assert_eq!(at - world.now, secs(60));
    world.now = at;
    let again = world.proxy.tick(world.now).expect("a destination is still draining");
    assert_eq!(again - world.now, secs(60));
    connection.close(world.now);
    world.now = again;
    assert_eq!(world.proxy.tick(world.now), None);
}

#[test]
fn destination_that_returns_while_draining_goes_to_the_head_with_weight_1() {
    let mut world = world(&service()).slice(&slice(pods(3)));
    let mut open: Vec<_> = (0..3).map(|_| connect(&mut world, POD)).collect();
    world = world.slice(&slice(["10.244.2.2", "10.244.2.3"].map(pod))).slice(&slice(pods(3)));
    open.clear();
    let round: Vec<_> = (0..3).map(|_| world.to(POD, CLUSTER_IP)).collect();
    assert_eq!(round, ["10.244.2.1:8080", "10.244.2.3:8080", "10.244.2.2:8080"]);
    assert_eq!(world.proxy.tick(world.now + secs(60)), None, "no destination is draining");
}

#[test]
fn udp_and_sctp_destinations_do_not_drain() {
    for protocol in [Protocol::Udp, Protocol::Sctp] {
        let ports = vec![ServicePort { port: 80, protocol, ..ServicePort::default() }];
        let of = |endpoints| EndpointSlice {
            ports: vec![SlicePort { protocol, port: Some(8080), ..SlicePort::default() }],
            ..slice(endpoints)
        };
        let mut world = world(&Service { ports, ..service() }).slice(&of(pods(2)));
        let flow = Flow::new(protocol, POD.parse().unwrap(), CLUSTER_IP.parse().unwrap());
        let connection = world.flow(protocol, POD, CLUSTER_IP).open(&flow);
        assert!(connection.is_some());
        world = world.slice(&of(pods(1)));
        assert_eq!(world.proxy.tick(world.now), None);
    }
}

#[test]
fn scheduler_counts_connections_until_they_end() {
    let mut world = World::new(ipvs(LeastConnection)).service(&service()).slice(&slice(pods(2)));
    let mut first = connect(&mut world, POD);
    let second = connect(&mut world, POD);
    assert_ne!(first.endpoint(), second.endpoint());
    first.finish();
    assert_eq!(connect(&mut world, POD).endpoint(), first.endpoint(), "a closing connection counts less");
    let to = second.endpoint();
    drop(second);
    assert_eq!(connect(&mut world, POD).endpoint(), to);
}

fn choice(world: &mut World, from: &str, to: &str) -> Choice {
    world.tcp(from, to).matched().unwrap().choice
}

#[test]
fn persistence_belongs_to_the_virtual_server() {
    let service = Service { session_affinity: Affinity::ClientIp, ..exposed() };
    let mut world = world(&service).slice(&slice(pods(3)));
    for to in [CLUSTER_IP, EXTERNAL_IP, LOAD_BALANCER, NODE_PORT] {
        assert_eq!(choice(&mut world, OUTSIDE, to), Choice::Recorded, "{to}");
        assert_eq!(choice(&mut world, OUTSIDE, to), Choice::Remembered, "{to}");
    }
}

#[test]
fn each_connection_restarts_the_persistence_timeout() {
    let mut world = world(&sticky(10)).slice(&slice(pods(3)));
    let first = world.to(POD, CLUSTER_IP);
    for _ in 0..5 {
        world.pass(ms(9_999));
        assert_eq!(world.to(POD, CLUSTER_IP), first);
    }
    world.pass(secs(10));
    assert_eq!(choice(&mut world, POD, CLUSTER_IP), Choice::Recorded);
}

/// Issue 89358: with a connection in TIME_WAIT (2 min), a timeout of 5 s lasts more than two minutes.
#[test]
fn open_connection_extends_persistence_by_a_minute_each_time() {
    let mut world = world(&sticky(5)).slice(&slice(pods(3)));
    let mut connection = connect(&mut world, POD);
    connection.finish();
    let start = world.now;
    world.pass(secs(120));
    connection.close(world.now);
    // The template expires at 5, 65 and 125 s; at 125 s no connection is open.
    world.now = start + secs(124);
    assert_eq!(world.tcp(POD, CLUSTER_IP).matched().unwrap().choice, Choice::Remembered);
    let mut idle = self::world(&sticky(5)).slice(&slice(pods(3)));
    connect(&mut idle, POD).close(idle.now + secs(1));
    idle.pass(secs(5));
    assert_eq!(choice(&mut idle, POD, CLUSTER_IP), Choice::Recorded);
}

#[test]
fn client_of_a_draining_destination_is_moved() {
    let mut world = world(&sticky(1000)).slice(&slice(pods(2)));
    let connection = connect(&mut world, POD);
    world = world.slice(&slice(pods(1)));
    assert_eq!(world.to(POD, CLUSTER_IP), "10.244.2.1:8080");
    drop(connection);
}

#[test]
fn rejects_client_without_a_scheduler_destination() {
    // Every second bucket belongs to a draining destination.
    let mut world = World::new(ipvs(SourceHashing(SourceHash::default()))).service(&service()).slice(&slice(pods(2)));
    let clients: Vec<String> = (1..100).map(|last| format!("10.244.1.{last}:1")).collect();
    let open: Vec<_> = clients.iter().map(|client| connect(&mut world, client)).collect();
    world = world.slice(&slice(pods(1)));
    let refused =
        clients.iter().filter(|client| choice(&mut world, client, CLUSTER_IP) == Choice::NoDestination).count();
    assert!((30..70).contains(&refused), "{refused} of 99");
    drop(open);
}

#[test]
fn unsupported_mode_is_an_error_today_and_a_fallback_before_1_27() {
    let kernel = Kernel { iptables: true, ipvs: false, nftables: false };
    let error = ModeSelection::from_flag("ipvs", kernel, KubeProxyFallback::Current).unwrap_err();
    assert_eq!(error.to_string(), "can't use the IPVS proxier: ipvs not supported");
    assert!(ModeSelection::from_flag("userspace", kernel, KubeProxyFallback::Current).is_err());
    let historical = |wanted, kernel| ModeSelection::from_flag(wanted, kernel, KubeProxyFallback::Historical).unwrap();
    assert_eq!(historical("ipvs", kernel).mode, iptables());
    assert_eq!(historical("ipvs", Kernel { iptables: false, ..kernel }).mode, Mode::Userspace);
    assert_eq!(historical("ipvs", Kernel { ipvs: true, ..kernel }).mode, ipvs(RoundRobin));
    let unknown = historical("fast", kernel);
    assert_eq!((unknown.mode, unknown.warnings.len()), (iptables(), 1));
    assert!(historical("", kernel).warnings.is_empty());
    let nothing = Kernel { iptables: false, ..kernel };
    for (flag, first) in [
        ("fast", "Unknown proxy mode \"fast\", assuming iptables proxy"),
        ("ipvs", "Can't use ipvs proxier, trying iptables proxier"),
    ] {
        let selected = historical(flag, nothing);
        assert_eq!(selected.mode, Mode::Userspace);
        assert_eq!(selected.warnings, [first, "Can't use iptables proxy, using userspace proxier"]);
    }
    assert_eq!(ModeSelection::from_flag("", kernel, KubeProxyFallback::Current).unwrap().mode, iptables());
}

/// The names that `--ipvs-scheduler` takes.
#[test]
fn schedulers_parse_from_the_kernels_names() {
    let names = ["rr", "wrr", "lc", "wlc", "sed", "nq", "sh", "dh", "mh"];
    let parsed: Vec<Scheduler> = names.iter().map(|name| name.parse().unwrap()).collect();
    let each: std::collections::BTreeSet<String> = parsed.iter().map(|one| format!("{one:?}")).collect();
    assert_eq!(each.len(), names.len(), "{each:?}");
    assert_eq!("".parse(), Ok(Scheduler::default()));
    let unknown = "fifo".parse::<Scheduler>().unwrap_err().to_string();
    assert_eq!(unknown, "`fifo` is not an IPVS scheduler: use one of rr, wrr, lc, wlc, sed, nq, sh, dh, mh");
}
