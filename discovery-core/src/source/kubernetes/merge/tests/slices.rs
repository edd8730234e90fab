//! Merging several slices into endpoints.

use super::*;

/// k/k pkg/proxy/endpointslicecache_test.go `TestEndpointsMapFromESC`, "2 slices, same port" and "2 overlapping
/// slices, same port".
#[test]
fn merges_slices_and_counts_each_address_once() {
    let hundred = |from: u8, to: u8| (from..=to).map(|n| at(&format!("10.0.1.{n}"), READY));
    let one = slice("svc1-abc", ("http", 80), hundred(1, 10));
    let other = slice("svc1-def", ("http", 80), hundred(8, 20));
    assert_eq!(all(&[one, other], "http").len(), 20);
}

/// k/k `TestEndpointsMapFromESC`, "2 slices, overlapping endpoints, some endpoints unready in 1 or both": every third
/// endpoint is unready in the first slice, and every sixth in the second.
#[test]
fn readiness_comes_from_the_later_slice() {
    let ten =
        |unready: u8| (1..=10).map(move |n| at(&format!("10.0.1.{n}"), if n % unready == 0 { UNREADY } else { READY }));
    let merged = all(&[slice("svc1-1", ("", 80), ten(3)), slice("svc1-2", ("", 80), ten(6))], "");
    let unready: Vec<_> = merged.iter().filter(|e| !e.conditions().ready).cloned().collect();
    assert_eq!((merged.len(), show(&unready)), (10, vec!["10.0.1.6:80".to_owned()]));
}

/// k/k `TestEndpointsMapFromESC`, "Different endpoints with duplicate IPs should not be filtered": each slice has its
/// own port number, and an address with two port numbers makes two endpoints.
#[test]
fn address_with_two_port_numbers_is_two_endpoints() {
    let two = || [at("10.0.1.1", READY), at("10.0.1.2", READY)];
    let slices = [slice("svc1-1", ("", 80), two()), slice("svc1-2", ("", 8080), two())];
    assert_eq!(show(&all(&slices, "")), ["10.0.1.1:80", "10.0.1.1:8080", "10.0.1.2:80", "10.0.1.2:8080"]);
}

#[test]
fn each_slice_uses_its_own_port_number() {
    let slices = [
        slice("a", ("http", 8080), [at("10.0.1.1", READY)]),
        slice("b", ("http", 9090), [at("10.0.1.2", READY)]),
        slice("c", ("metrics", 1), [at("10.0.1.3", READY)]),
    ];
    assert_eq!(show(&all(&slices, "http")), ["10.0.1.1:8080", "10.0.1.2:9090"]);
    assert_eq!(show(&all(&slices, "metrics")), ["10.0.1.3:1"]);
    assert!(all(&slices, "").is_empty() && all(&slices, "grpc").is_empty());
}

/// k/k pkg/proxy/iptables/proxier_test.go `TestClusterIPGeneral`: 53/TCP, 53/UDP and 53/SCTP are three ports.
#[test]
fn matches_ports_by_protocol() {
    let dns = Slice::new("dns", service("s"), AddressType::Ipv4)
        .with_port(name("dns-tcp"), 5353, Protocol::Tcp)
        .with_port(name("dns"), 53, Protocol::Udp)
        .with_port(name("dns"), 54, Protocol::Sctp)
        .with_endpoint(at("10.0.1.1", READY));
    let addresses = |protocol| {
        let port = TargetPort::Named { name: name("dns"), protocol };
        show(&endpoints([&dns], &port, AddressType::Ipv4, Families::Both))
    };
    assert_eq!(addresses(Protocol::Udp), ["10.0.1.1:53"]);
    assert_eq!(addresses(Protocol::Sctp), ["10.0.1.1:54"]);
    assert!(addresses(Protocol::Tcp).is_empty());
}

/// k/k pkg/proxy/endpointslicecache.go (c2c7d507) `addEndpoints`: a later entry replaces an earlier one, unless the
/// later one is terminating.
#[test]
fn terminating_duplicates_replace_nothing() {
    for (first, second, left) in [
        (READY, DRAINING, READY),
        (DRAINING, READY, READY),
        (UNREADY, READY, READY),
        (READY, UNREADY, UNREADY),
        (UNREADY, DRAINING, UNREADY),
        (DRAINING, GONE, DRAINING),
    ] {
        let one = slice("a", ("http", 80), [at("10.0.1.1", first)]);
        let other = slice("b", ("http", 80), [at("10.0.1.1", second)]);
        for slices in [[one.clone(), other.clone()], [other, one]] {
            let merged = all(&slices, "http");
            assert_eq!(merged.len(), 1);
            assert_eq!(merged[0].conditions(), conditions(left), "{first:?} then {second:?}");
        }
    }
}

/// k/k pkg/proxy/endpointslicecache.go: "Two slices with the same name replace, not merge".
#[test]
fn slice_replaces_an_earlier_one_of_the_same_name() {
    let slices = [slice("a", ("", 80), [at("10.0.1.1", READY)]), slice("a", ("", 80), [at("10.0.1.2", READY)])];
    assert_eq!(show(&all(&slices, "")), ["10.0.1.2:80"]);
}

/// k/k pkg/proxy/endpointschangetracker.go (f2963eff): slices of another family or of domain names are ignored, and
/// so is an address of another family than its slice.
#[test]
fn ignores_addresses_of_unwanted_families() {
    let mut names = slice("fqdn", ("", 80), [at("10.0.1.1", READY)]);
    names.address_type = AddressType::Other;
    let mut wrong = slice("wrong", ("", 80), [at("10.0.1.2", READY)]);
    wrong.address_type = AddressType::Ipv6;
    let slices =
        [names, wrong, slice("v4", ("", 80), [at("10.0.1.3", READY)]), slice("v6", ("", 80), [at("fd00::3", READY)])];
    let of = |families| show(&endpoints(&slices, &tcp(""), AddressType::Ipv4, families));
    assert_eq!(of(Families::Both), ["10.0.1.3:80", "[fd00::3]:80"]);
    assert_eq!(of(Families::V4), ["10.0.1.3:80"]);
    assert_eq!(of(Families::V6), ["[fd00::3]:80"]);
}

/// k/k pkg/proxy/topology_test.go `TestCategorizeEndpoints`: "all ready", "fall back to terminating", "no usable".
#[test]
fn falls_back_to_serving_terminating_endpoints_when_none_is_ready() {
    let slices = |states: &[(bool, bool, bool)]| {
        let endpoints = states.iter().enumerate().map(|(n, state)| at(&format!("10.0.1.{n}"), *state));
        [slice("a", ("", 80), endpoints)]
    };
    let used = |states: &[(bool, bool, bool)]| show(&usable(all(&slices(states), "")));
    assert_eq!(used(&[READY, UNREADY, DRAINING]), ["10.0.1.0:80"]);
    assert_eq!(used(&[UNREADY, DRAINING, GONE]), ["10.0.1.1:80"]);
    assert!(used(&[UNREADY, GONE]).is_empty());
    // publishNotReadyAddresses: the controller writes ready even while terminating.
    assert_eq!(used(&[(true, false, true)]), ["10.0.1.0:80"]);
}

#[test]
fn dual_stack_pod_is_one_endpoint() {
    let v4 = slice("v4", ("", 80), [pod("a", "10.0.1.1", READY), pod("b", "10.0.1.2", READY)]);
    let v6 = slice("v6", ("", 80), [pod("a", "fd00::1", READY), pod("b", "fd00::2", UNREADY)]);
    let merged = all(&[v4.clone(), v6.clone()], "");
    assert_eq!(show(&merged), ["10.0.1.1:80+[fd00::1]:80", "10.0.1.2:80+[fd00::2]:80"]);
    assert_eq!(merged[0].identity().uid(), Some("a"));
    assert_eq!(
        show(&usable(merged)),
        ["10.0.1.1:80+[fd00::1]:80"],
        "a pod is left out as soon as either slice says so"
    );
    let primary_v6 = endpoints([&v4, &v6], &tcp(""), AddressType::Ipv6, Families::Both);
    assert_eq!(show(&primary_v6), ["[fd00::1]:80+10.0.1.1:80", "[fd00::2]:80+10.0.1.2:80"]);
}

#[test]
fn pod_with_two_addresses_of_a_family_is_not_joined() {
    let slices = [
        slice("a", ("", 80), [pod("a", "10.0.1.1", READY), pod("a", "10.0.1.9", READY)]),
        slice("b", ("", 80), [pod("a", "fd00::1", READY)]),
    ];
    assert_eq!(show(&all(&slices, "")), ["10.0.1.1:80", "10.0.1.9:80", "[fd00::1]:80"]);
}

#[test]
fn keeps_zone_node_hostname_hints_and_uid() {
    let mut endpoint = pod("7d0c", "10.0.1.1", READY);
    endpoint.node = Some("node-1".into());
    endpoint.zone = Some("zone-a".into());
    endpoint.hostname = crate::name::Hostname::new("web-0").ok();
    endpoint.zone_hints = Some(["zone-a".into(), "zone-b".into()].into());
    let merged = all(&[slice("a", ("", 80), [endpoint])], "");
    assert_eq!((merged[0].node(), merged[0].zone()), (Some("node-1"), Some("zone-a")));
    assert_eq!(merged[0].hostname().map(ToString::to_string).as_deref(), Some("web-0"));
    assert_eq!(merged[0].zone_hints().collect::<Vec<_>>(), ["zone-a", "zone-b"]);
    assert_eq!(merged[0].identity().uid(), Some("7d0c"));
}
