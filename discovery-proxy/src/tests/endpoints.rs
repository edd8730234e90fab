//! Endpoints merged from slices.

use super::world::*;
use crate::{Flow, object::*};

fn names(world: &World, to: &str) -> Vec<String> {
    let flow = Flow::tcp(POD.parse().unwrap(), to.parse().unwrap());
    let view = world.proxy.snapshot().lookup(&flow).expect("a service port");
    view.endpoints().iter().map(|endpoint| endpoint.addr.to_string()).collect()
}

fn world(slices: &[EndpointSlice]) -> World {
    let mut world = World::new(iptables()).service(&service());
    slices.iter().for_each(|slice| world.proxy.apply_endpoint_slice(slice));
    world.sync();
    world
}

/// TestClusterIPGeneral: 53/TCP to 5353, 53/UDP and 53/SCTP to 53.
#[test]
fn matches_ports_by_name_and_protocol_and_dials_the_slices_number() {
    let all = [(Protocol::Tcp, 5353), (Protocol::Udp, 53), (Protocol::Sctp, 53)];
    let ports = all.map(|(protocol, _)| ServicePort {
        name: "dns".into(),
        protocol,
        port: 53,
        target_port: "9999".into(),
        ..ServicePort::default()
    });
    let slice_ports = all.map(|(protocol, port)| SlicePort { name: Some("dns".into()), protocol, port: Some(port) });
    let mut world = World::new(iptables())
        .service(&Service { ports: ports.into(), ..service() })
        .slice(&EndpointSlice { ports: slice_ports.into(), ..slice(pods(1)) });
    for (protocol, port) in all {
        let verdict = world.flow(protocol, POD, "10.96.0.10:53");
        assert_eq!(verdict.endpoint().map(|addr| i32::from(addr.port())), Some(port), "{protocol}");
    }
}

#[test]
fn rejects_port_whose_name_is_in_no_slice() {
    let ports = vec![SlicePort { name: Some("other".into()), port: Some(8080), ..SlicePort::default() }];
    let mut world = world(&[EndpointSlice { ports, ..slice(pods(1)) }]);
    assert_eq!(world.outcome(POD, CLUSTER_IP), "reject");
}

#[test]
fn uses_slices_written_by_hand() {
    let world = world(&[slice([SliceEndpoint { addresses: vec!["192.0.2.42".into()], ..SliceEndpoint::default() }])]);
    assert_eq!(names(&world, CLUSTER_IP), ["192.0.2.42:8080"]);
}

#[test]
fn ignores_slices_of_the_other_family_and_of_host_names() {
    for address_type in [AddressType::V6, AddressType::Fqdn] {
        assert!(names(&world(&[EndpointSlice { address_type, ..slice(pods(1)) }]), CLUSTER_IP).is_empty());
    }
}

#[test]
fn ignores_slices_without_label_namespace_or_name() {
    let unlabeled = EndpointSlice { labels: Default::default(), ..slice(pods(1)) };
    let empty = EndpointSlice { labels: [(SERVICE_NAME_LABEL.into(), String::new())].into(), ..slice(pods(1)) };
    let nameless = EndpointSlice { name: String::new(), ..slice(pods(1)) };
    for slice in [unlabeled, empty, nameless] {
        assert!(names(&world(&[slice]), CLUSTER_IP).is_empty());
    }
}

#[test]
fn ignores_ports_without_name_or_number() {
    let unnamed = SlicePort { name: None, port: Some(8080), ..SlicePort::default() };
    let unnumbered = SlicePort { port: None, ..SlicePort::default() };
    let zero = SlicePort { port: Some(0), ..SlicePort::default() };
    let ports = vec![unnamed, unnumbered, zero];
    assert!(names(&world(&[EndpointSlice { ports, ..slice(pods(1)) }]), CLUSTER_IP).is_empty());
}

#[test]
fn uses_only_the_first_address() {
    let two = SliceEndpoint { addresses: vec!["10.244.2.1".into(), "10.244.2.2".into()], ..SliceEndpoint::default() };
    let none = SliceEndpoint::default();
    assert_eq!(names(&world(&[slice([two, none])]), CLUSTER_IP), ["10.244.2.1:8080"]);
}

#[test]
fn absent_conditions_mean_ready_and_serving() {
    let world = world(&[slice(pods(1))]);
    let flow = Flow::tcp(POD.parse().unwrap(), CLUSTER_IP.parse().unwrap());
    let endpoint = &world.proxy.snapshot().lookup(&flow).unwrap().endpoints()[0];
    assert!(endpoint.ready && endpoint.serving && !endpoint.terminating);
}

#[test]
fn endpoint_is_local_if_it_names_this_node() {
    let is_local = |node_name: &str, endpoint: SliceEndpoint| {
        let world =
            World::with(config(iptables()).with_node_name(node_name)).service(&service()).slice(&slice([endpoint]));
        let flow = Flow::tcp(POD.parse().unwrap(), CLUSTER_IP.parse().unwrap());
        world.proxy.snapshot().lookup(&flow).unwrap().endpoints()[0].is_local
    };
    assert!(is_local("here", local("10.244.2.1")));
    assert!(!is_local("here", pod("10.244.2.1")));
    assert!(!is_local("here", SliceEndpoint { node_name: None, ..pod("10.244.2.1") }));
    assert!(!is_local("", SliceEndpoint { node_name: Some(String::new()), ..pod("10.244.2.1") }));
}

/// TestBadIPs. Loopback and link-local addresses are not filtered.
#[test]
fn addresses_may_have_leading_zeros_and_are_not_filtered() {
    let world = world(&[slice(["10.244.002.001", "127.0.0.1", "169.254.0.1", "rubbish"].map(pod))]);
    assert_eq!(names(&world, CLUSTER_IP), ["10.244.2.1:8080", "127.0.0.1:8080", "169.254.0.1:8080"]);
}

#[test]
fn endpoints_are_ordered_by_bytes() {
    let one = EndpointSlice {
        ports: vec![SlicePort { port: Some(11), ..SlicePort::default() }],
        ..slice_of("web", "a", ["10.1.1.1", "10.1.1.11"].map(pod))
    };
    let two = EndpointSlice {
        ports: vec![SlicePort { port: Some(80), ..SlicePort::default() }],
        ..slice_of("web", "b", ["10.0.0.1", "10.0.1.1", "10.0.1.10"].map(pod))
    };
    assert_eq!(
        names(&world(&[one, two]), CLUSTER_IP),
        ["10.0.0.1:80", "10.0.1.10:80", "10.0.1.1:80", "10.1.1.11:11", "10.1.1.1:11"]
    );
}

#[test]
fn ipv6_endpoints_are_written_in_brackets() {
    let v6 = EndpointSlice { address_type: AddressType::V6, ..slice(["fd00::2"].map(pod)) };
    let mut world = World::with(crate::Config::new(IpFamily::V6, iptables()));
    world = world.service(&named("web", "fd00:96::a")).slice(&v6);
    assert_eq!(world.to("[fd00::7]:1", "[fd00:96::a]:80"), "[fd00::2]:8080");
    assert_eq!(names(&world, "[fd00:96::a]:80"), ["[fd00::2]:8080"]);
}

#[test]
fn merges_slices_by_address_and_number() {
    let (a, b) = (slice_of("web", "a", pods(2)), slice_of("web", "b", ["10.244.2.2", "10.244.2.3"].map(pod)));
    assert_eq!(names(&world(&[a, b]), CLUSTER_IP), ["10.244.2.1:8080", "10.244.2.2:8080", "10.244.2.3:8080"]);
}

#[test]
fn last_duplicate_wins_unless_it_is_terminating() {
    let ready = |slices: [SliceEndpoint; 2]| {
        let [a, b] = slices;
        let world = world(&[slice_of("web", "a", [a]), slice_of("web", "b", [b])]);
        let flow = Flow::tcp(POD.parse().unwrap(), CLUSTER_IP.parse().unwrap());
        let endpoint = world.proxy.snapshot().lookup(&flow).unwrap().endpoints()[0].clone();
        (endpoint.ready, endpoint.terminating)
    };
    let ip = "10.244.2.1";
    assert_eq!(ready([pod(ip), unready(pod(ip))]), (false, false));
    assert_eq!(ready([pod(ip), closing(pod(ip))]), (true, false));
    assert_eq!(ready([closing(pod(ip)), pod(ip)]), (true, false));
}

#[test]
fn slice_replaces_one_of_the_same_name() {
    let world = world(&[slice(pods(2)), slice(["10.244.2.9"].map(pod))]);
    assert_eq!(names(&world, CLUSTER_IP), ["10.244.2.9:8080"]);
}

#[test]
fn slice_may_change_its_service_or_lose_its_label() {
    let mut world = world(&[slice(pods(1))]).service(&named("other", "10.96.0.11"));
    world = world.slice(&slice_of("other", "web-1", pods(1)));
    assert_eq!(world.outcome(POD, CLUSTER_IP), "reject");
    assert_eq!(world.to(POD, "10.96.0.11:80"), "10.244.2.1:8080");
    world = world.slice(&EndpointSlice { labels: Default::default(), ..slice(pods(1)) });
    assert_eq!(world.outcome(POD, "10.96.0.11:80"), "reject");
}

/// TestEsDataChanged.
#[test]
fn another_order_is_a_change_but_the_same_slice_is_not() {
    let mut cache = crate::endpoints::EndpointSliceCache::new(IpFamily::V4, "here");
    let first = slice(pods(2));
    assert_eq!(cache.update(&first, false).len(), 1);
    assert!(cache.update(&first.clone(), false).is_empty());
    let mut other_order = first.clone();
    other_order.endpoints.reverse();
    assert_eq!(cache.update(&other_order, false).len(), 1);
    let two_ports = |names: [&str; 2]| EndpointSlice {
        ports: names.map(|name| SlicePort { name: Some(name.into()), port: Some(1), ..SlicePort::default() }).into(),
        ..slice(pods(1))
    };
    assert_eq!(cache.update(&two_ports(["a", "b"]), false).len(), 1);
    assert_eq!(cache.update(&two_ports(["b", "a"]), false).len(), 1);
}

#[test]
fn endpoints_objects_are_mirrored_as_slices() {
    let address = |ip: &str| EndpointAddress { ip: ip.into(), ..EndpointAddress::default() };
    let subset = EndpointSubset {
        addresses: vec![address("10.244.2.1"), address("fd00::1")],
        not_ready_addresses: vec![address("10.244.2.2")],
        ports: vec![EndpointPort { port: 9376, ..EndpointPort::default() }],
    };
    let mut object = Endpoints { namespace: "default".into(), name: "web".into(), subsets: vec![subset] };
    let mut world = World::new(iptables()).service(&service());
    world.proxy.apply_endpoints(&object);
    world.sync();
    assert_eq!(world.reached(POD, CLUSTER_IP), ["10.244.2.1:9376"]);
    object.subsets[0].addresses.remove(0);
    world.proxy.apply_endpoints(&object);
    world.sync();
    assert_eq!(world.outcome(POD, CLUSTER_IP), "reject");
    world.proxy.delete_endpoints(&crate::NamespacedName::new("default", "web"));
    world.sync();
    assert!(names(&world, CLUSTER_IP).is_empty());
}
