//! Policies, masquerading, rejecting and dropping. Upstream: TestClusterIPGeneral, TestExternalTrafficPolicyLocal,
//! TestInternalTrafficPolicy, TestLoadBalancer.

use std::net::SocketAddr;

use super::world::*;
use crate::{
    Choice, Destination, Flow, LocalDetector, Masquerade, Mode, NamespacedName, Scheduler, Scope, Sender, object::*,
};

const FAR: &str = "10.244.2.1:8080";
const NEAR: &str = "10.244.1.1:8080";
const EXTERNAL: [&str; 3] = [EXTERNAL_IP, LOAD_BALANCER, NODE_PORT];

fn exposed_local() -> Service {
    Service { external_traffic_policy: TrafficPolicy::Local, ..exposed() }
}

fn far_and_near() -> EndpointSlice {
    slice([pod("10.244.2.1"), local("10.244.1.1")])
}

fn far() -> EndpointSlice {
    slice([pod("10.244.2.1")])
}

fn both_rule_modes() -> [Mode; 2] {
    [iptables(), Mode::Nftables]
}

#[test]
fn cluster_ip_masquerades_senders_that_are_not_pods() {
    for mode in both_rule_modes() {
        let mut world = World::new(mode).service(&service()).slice(&far());
        assert_eq!(world.outcome(POD, CLUSTER_IP), FAR);
        assert_eq!(world.outcome(NODE, CLUSTER_IP), format!("{FAR} masqueraded"));
        assert_eq!(world.outcome(OUTSIDE, CLUSTER_IP), format!("{FAR} masqueraded"));
    }
}

/// As a socket that is open for both families reports an IPv4 peer: the same flow in every mode, for the destination, the
/// sender, source ranges and affinity.
#[test]
fn an_ipv4_mapped_address_of_a_flow_is_the_ipv4_address() {
    let mapped = |text: &str| {
        let addr: SocketAddr = text.parse().unwrap();
        format!("[::ffff:{}]:{}", addr.ip(), addr.port())
    };
    let own = |text: &str| text.parse().unwrap();
    assert_eq!(Flow::tcp(own(&mapped(POD)), own(&mapped(CLUSTER_IP))), Flow::tcp(own(POD), own(CLUSTER_IP)));
    assert_eq!(Flow::udp(own("[fd00::1]:1"), own("[fd00::2]:2")).source, own("[fd00::1]:1"));
    for mode in all_modes() {
        let mut world = World::new(mode.clone()).service(&exposed()).slice(&far());
        for from in [POD, NODE, OUTSIDE] {
            for to in [CLUSTER_IP, EXTERNAL_IP, LOAD_BALANCER, NODE_PORT, "0.0.0.0:80"] {
                let expected = world.outcome(from, to);
                assert_eq!(world.outcome(&mapped(from), &mapped(to)), expected, "{mode:?} {from} {to}");
            }
        }
        let mut world = World::new(mode.clone()).service(&sticky(100)).slice(&slice(pods(50)));
        let first = world.to(POD, CLUSTER_IP);
        assert_eq!(world.to(&mapped(POD), &mapped(CLUSTER_IP)), first, "{mode:?}");
    }
}

#[test]
fn cluster_ip_masquerades_nothing_without_a_detector() {
    let mut world =
        World::with(config(iptables()).with_detector(LocalDetector::None)).service(&service()).slice(&far());
    for from in [POD, NODE, OUTSIDE] {
        assert_eq!(world.outcome(from, CLUSTER_IP), FAR);
    }
}

#[test]
fn masquerade_all_masquerades_pods_too() {
    let mut world = World::with(config(iptables()).with_masquerade_all(true)).service(&service()).slice(&far());
    let verdict = world.tcp(POD, CLUSTER_IP);
    assert_eq!(verdict.matched().map(|matched| matched.masquerade), Some(Masquerade::All));
}

#[test]
fn detects_pods_by_interface() {
    let bridge = LocalDetector::Bridge("cni0".into());
    let prefix = LocalDetector::InterfacePrefix("veth".into());
    for (detector, own, other) in [(bridge, "cni0", "cni01"), (prefix, "veth1234", "eth0")] {
        let mut world = World::with(config(iptables()).with_detector(detector)).service(&service()).slice(&far());
        let flow = Flow::tcp(POD.parse().unwrap(), CLUSTER_IP.parse().unwrap());
        let snapshot = world.proxy.snapshot().clone();
        let mut masqueraded = |flow| snapshot.decide(&flow, world.now, &mut world.rng).is_masqueraded();
        assert!(!masqueraded(flow.with_interface(own)));
        assert!(masqueraded(flow.with_interface(other)));
        assert!(masqueraded(flow), "traffic from the node itself has no interface");
    }
}

#[test]
fn internal_policy_local_uses_the_local_set_without_changing_masquerade() {
    let service = Service { internal_traffic_policy: TrafficPolicy::Local, ..service() };
    for mode in both_rule_modes() {
        let mut world = World::new(mode).service(&service).slice(&far_and_near());
        assert_eq!(world.reached(POD, CLUSTER_IP), [NEAR]);
        assert_eq!(world.outcome(POD, CLUSTER_IP), NEAR);
        assert_eq!(world.outcome(OUTSIDE, CLUSTER_IP), format!("{NEAR} masqueraded"));
    }
}

#[test]
fn external_policy_cluster_uses_the_cluster_set_masqueraded() {
    for mode in both_rule_modes() {
        let mut world = World::new(mode).service(&exposed()).slice(&far_and_near());
        for (to, from) in EXTERNAL.into_iter().flat_map(|to| [POD, NODE, OUTSIDE].map(|from| (to, from))) {
            assert_eq!(world.reached(from, to), [NEAR, FAR]);
            assert!(world.tcp(from, to).is_masqueraded());
        }
    }
}

#[test]
fn policy_local_from_a_pod_takes_the_short_circuit_unmasqueraded() {
    for mode in both_rule_modes() {
        let mut world = World::new(mode).service(&exposed_local()).slice(&far_and_near());
        for to in EXTERNAL {
            assert_eq!(world.reached(POD, to), [NEAR, FAR]);
            let verdict = world.tcp(POD, to);
            assert!(!verdict.is_masqueraded());
            assert_eq!(verdict.matched().unwrap().scope, Scope::ShortCircuit);
        }
    }
}

#[test]
fn policy_local_from_the_node_uses_the_cluster_set_masqueraded() {
    for mode in both_rule_modes() {
        let mut world = World::new(mode).service(&exposed_local()).slice(&far());
        for (to, from) in EXTERNAL.into_iter().flat_map(|to| [NODE, "127.0.0.1:1"].map(|from| (to, from))) {
            assert_eq!(world.outcome(from, to), format!("{FAR} masqueraded"));
        }
    }
}

#[test]
fn policy_local_from_outside_uses_the_local_set_unmasqueraded() {
    for mode in both_rule_modes() {
        let mut world = World::new(mode).service(&exposed_local()).slice(&far_and_near());
        for to in EXTERNAL {
            assert_eq!(world.reached(OUTSIDE, to), [NEAR]);
            assert!(!world.tcp(OUTSIDE, to).is_masqueraded());
        }
    }
}

#[test]
fn policy_local_from_a_pod_without_a_detector_uses_the_local_set() {
    let config = config(iptables()).with_detector(LocalDetector::None);
    let mut world = World::with(config).service(&exposed_local()).slice(&far_and_near());
    assert_eq!(world.reached(POD, LOAD_BALANCER), [NEAR]);
    assert_eq!(world.tcp(POD, LOAD_BALANCER).matched().unwrap().sender, Sender::External);
}

#[test]
fn internal_and_external_policies_are_independent() {
    let mut world = World::new(iptables()).service(&exposed_local()).slice(&far());
    assert_eq!(world.outcome(POD, CLUSTER_IP), FAR, "the external policy does not apply to the cluster IP");
    let internal = Service { internal_traffic_policy: TrafficPolicy::Local, ..exposed() };
    world = world.service(&internal);
    assert_eq!(world.outcome(OUTSIDE, LOAD_BALANCER), format!("{FAR} masqueraded"));
}

/// TestClusterIPGeneral.
#[test]
fn hairpin_is_masqueraded() {
    for mode in all_modes().into_iter().skip(1) {
        let mut world = World::new(mode).service(&service()).slice(&slice([local("10.244.2.1")]));
        let verdict = world.tcp("10.244.2.1:5000", CLUSTER_IP);
        assert!(verdict.is_masqueraded());
        assert_eq!(verdict.matched().unwrap().masquerade, Masquerade::Hairpin);
    }
}

/// Observed with kube-proxy 1.36.3: the set of nftables and IPVS mode contains only endpoints of this node, and all
/// Services share it.
#[test]
fn hairpin_of_an_endpoint_without_a_node_is_masqueraded_in_iptables_mode_only() {
    const POD: &str = "10.244.2.1:5000";
    let (mut chain, mut set) = (World::new(iptables()), [Mode::Nftables, ipvs(Scheduler::RoundRobin)].map(World::new));
    chain = chain.service(&service()).slice(&far());
    assert_eq!(chain.outcome(POD, CLUSTER_IP), format!("{FAR} masqueraded"));
    set = set.map(|world| world.service(&service()).slice(&far()));
    assert_eq!(set.each_mut().map(|world| world.outcome(POD, CLUSTER_IP)), [FAR, FAR]);
    // Another Service places the pod on this node, but with another port, which is another endpoint.
    let other = named("other", "10.96.0.11");
    let near = slice_of("other", "other-1", [local("10.244.2.1")]);
    let moved = EndpointSlice { ports: vec![SlicePort { port: Some(9), ..SlicePort::default() }], ..near.clone() };
    set = set.map(|world| world.service(&other).slice(&moved));
    assert_eq!(set.each_mut().map(|world| world.outcome(POD, CLUSTER_IP)), [FAR, FAR]);
    set = set.map(|world| world.slice(&near));
    for world in &mut set {
        assert_eq!(world.outcome(POD, CLUSTER_IP), format!("{FAR} masqueraded"));
        // Two ports need the entry, which is removed with the last one.
        world.proxy.apply_service(&named("third", "10.96.0.12"));
        world.proxy.apply_endpoint_slice(&slice_of("third", "third-1", [local("10.244.2.1")]));
        world.sync();
        world.proxy.delete_endpoint_slice(&near);
        world.sync();
        assert_eq!(world.outcome(POD, CLUSTER_IP), format!("{FAR} masqueraded"));
        world.proxy.delete_service(&NamespacedName::new("default", "third"));
        world.sync();
        assert_eq!(world.outcome(POD, CLUSTER_IP), FAR);
    }
}

/// `allLocallyReachableEndpoints` of nftables mode; `endpointsMap` of IPVS mode.
#[test]
fn nftables_does_not_masquerade_hairpins_of_unusable_endpoints() {
    let outcomes = [Mode::Nftables, ipvs(Scheduler::RoundRobin)].map(|mode| {
        let mut world = World::new(mode).service(&service()).slice(&far()).service(&named("other", "10.96.0.11"));
        world = world.slice(&slice_of("other", "other-1", [unready(local("10.244.2.1"))]));
        world.outcome("10.244.2.1:5000", CLUSTER_IP)
    });
    assert_eq!(outcomes, [FAR.to_owned(), format!("{FAR} masqueraded")]);
}

/// Observed with kube-proxy 1.36.3: `KUBE-EXTERNAL-SERVICES` is in INPUT and FORWARD, not in OUTPUT.
#[test]
fn iptables_ignores_traffic_from_the_node_to_external_addresses_without_endpoints() {
    for (mode, external) in [(iptables(), ""), (Mode::Nftables, "reject")] {
        let mut world = World::new(mode).service(&exposed());
        assert_eq!([EXTERNAL_IP, LOAD_BALANCER].map(|to| world.outcome(NODE, to)), [external; 2]);
        assert_eq!([CLUSTER_IP, NODE_PORT].map(|to| world.outcome(NODE, to)), ["reject"; 2]);
    }
}

/// `usesFWChain` requires endpoints in iptables/proxier.go, but not in nftables/proxier.go.
#[test]
fn iptables_ignores_source_ranges_without_endpoints() {
    let service = Service { load_balancer_source_ranges: vec!["192.0.2.0/24".into()], ..exposed() };
    for (mode, without) in [(iptables(), "reject"), (Mode::Nftables, "drop")] {
        let mut world = World::new(mode).service(&service);
        assert_eq!(world.outcome(OUTSIDE, LOAD_BALANCER), without);
        world = world.slice(&far());
        assert_eq!(world.outcome(OUTSIDE, LOAD_BALANCER), "drop");
    }
}

#[test]
fn rejects_every_destination_without_endpoints() {
    for mode in all_modes() {
        let mut world = World::new(mode).service(&exposed_local());
        for (to, from) in
            [CLUSTER_IP, EXTERNAL_IP, LOAD_BALANCER, NODE_PORT].iter().flat_map(|to| [(to, POD), (to, OUTSIDE)])
        {
            assert_eq!(world.outcome(from, to), "reject", "{to}");
        }
    }
}

#[test]
fn policy_local_drops_when_only_other_nodes_have_endpoints() {
    let service = Service { internal_traffic_policy: TrafficPolicy::Local, ..exposed_local() };
    for mode in both_rule_modes() {
        let mut world = World::new(mode).service(&service).slice(&far());
        assert_eq!(world.outcome(POD, CLUSTER_IP), "drop");
        assert_eq!(world.outcome(NODE, CLUSTER_IP), "drop");
        for to in EXTERNAL {
            assert_eq!(world.outcome(OUTSIDE, to), "drop", "{to}");
        }
        let verdict = world.tcp(OUTSIDE, NODE_PORT);
        assert_eq!(verdict.matched().unwrap().choice, Choice::NoLocalEndpoints);
        assert_eq!(verdict.matched().unwrap().destination, Destination::NodePort);
    }
}

#[test]
fn policy_local_rejects_after_the_last_slice_is_deleted() {
    let service = Service { internal_traffic_policy: TrafficPolicy::Local, ..exposed_local() };
    let mut world = World::new(Mode::Nftables).service(&service).slice(&far());
    assert_eq!(world.outcome(POD, CLUSTER_IP), "drop");
    world.proxy.delete_endpoint_slice(&far());
    world.sync();
    assert_eq!(world.outcome(POD, CLUSTER_IP), "reject");
    assert_eq!(world.outcome(OUTSIDE, LOAD_BALANCER), "reject");
}

/// PR 97081. IPVS mode has no short circuit for any sender.
#[test]
fn ipvs_falls_back_to_the_cluster_set_instead_of_dropping() {
    let mut world = World::new(ipvs(Scheduler::RoundRobin)).service(&exposed_local()).slice(&far());
    for to in EXTERNAL {
        assert_eq!(world.outcome(OUTSIDE, to), FAR);
        assert_eq!(world.tcp(OUTSIDE, to).matched().unwrap().scope, Scope::NoneLocal);
    }
    world = world.slice(&far_and_near());
    assert_eq!(world.reached(POD, LOAD_BALANCER), [NEAR]);
}

#[test]
fn terminating_local_endpoint_still_serves() {
    let mut world = World::new(iptables())
        .service(&exposed_local())
        .slice(&slice([pod("10.244.2.1"), closing(local("10.244.1.1"))]));
    assert_eq!(world.reached(OUTSIDE, LOAD_BALANCER), [NEAR]);
    assert!(world.tcp(OUTSIDE, LOAD_BALANCER).matched().unwrap().terminating_only());
    assert_eq!(world.reached(POD, CLUSTER_IP), [FAR]);
}

#[test]
fn source_ranges_restrict_only_load_balancer_addresses_for_all_senders() {
    let ranges = vec!["203.0.113.0/24".to_owned()];
    let service = Service { load_balancer_source_ranges: ranges, ..exposed() };
    for mode in all_modes().into_iter().skip(1) {
        let mut world = World::new(mode).service(&service).slice(&far());
        let outside = "192.0.2.1:5";
        for to in [EXTERNAL_IP, NODE_PORT, CLUSTER_IP] {
            assert!(world.tcp(outside, to).endpoint().is_some(), "{to}");
        }
        assert!(world.tcp(OUTSIDE, LOAD_BALANCER).endpoint().is_some());
        for from in [outside, POD, NODE] {
            let verdict = world.tcp(from, LOAD_BALANCER);
            assert_eq!(outcome(&verdict), "drop");
            assert_eq!(verdict.matched().unwrap().choice, Choice::SourceRange);
        }
    }
}

#[test]
fn source_ranges_are_checked_before_endpoints() {
    let service = Service { load_balancer_source_ranges: vec!["203.0.113.0/24".into()], ..exposed() };
    let mut world = World::new(Mode::Nftables).service(&service);
    assert_eq!(world.outcome("192.0.2.1:5", LOAD_BALANCER), "drop");
    assert_eq!(world.outcome(OUTSIDE, LOAD_BALANCER), "reject");
}

#[test]
fn range_with_the_node_admits_the_load_balancers_own_address() {
    let with = |range: &str| Service { load_balancer_source_ranges: vec![range.into()], ..exposed() };
    let mut world = World::new(iptables()).service(&with("192.168.0.0/24")).slice(&far());
    assert!(world.tcp("198.51.100.8:9", LOAD_BALANCER).endpoint().is_some());
    world = world.service(&with("192.168.1.0/24"));
    assert_eq!(world.outcome("198.51.100.8:9", LOAD_BALANCER), "drop");
}

#[test]
fn address_families_are_separate() {
    let dual = Service {
        cluster_ips: vec!["10.96.0.10".into(), "fd00:96::a".into()],
        ip_families: vec![IpFamily::V4, IpFamily::V6],
        ..service()
    };
    let v6 = EndpointSlice { address_type: AddressType::V6, name: "web-6".into(), ..slice(["fd00::2"].map(pod)) };
    let mut four = World::new(iptables()).service(&dual).slice(&v6);
    assert_eq!(four.outcome(POD, CLUSTER_IP), "reject");
    assert_eq!(four.outcome("[fd00::7]:1", "[fd00:96::a]:80"), "");
    let config = crate::Config::new(IpFamily::V6, iptables());
    let mut six = World::with(config).service(&dual).slice(&v6).slice(&far());
    assert_eq!(six.outcome("[fd00::7]:1", "[fd00:96::a]:80"), "[fd00::2]:8080");
    assert_eq!(six.outcome(POD, CLUSTER_IP), "");
}

#[test]
fn smallest_name_wins_a_shared_address_until_it_is_deleted() {
    let with = |name: &str, ip: &str| Service { external_ips: vec!["198.51.100.7".into()], ..named(name, ip) };
    for order in [["a", "b"], ["b", "a"]] {
        let mut world = World::new(iptables());
        for name in order {
            let (ip, pod_ip) = if name == "a" { ("10.96.0.1", "10.244.2.1") } else { ("10.96.0.2", "10.244.2.2") };
            world = world.service(&with(name, ip)).slice(&slice_of(name, name, [pod(pod_ip)]));
        }
        assert_eq!(world.to(OUTSIDE, EXTERNAL_IP), "10.244.2.1:8080");
        world.proxy.delete_service(&NamespacedName::new("default", "a"));
        world.sync();
        assert_eq!(world.to(OUTSIDE, EXTERNAL_IP), "10.244.2.2:8080");
        world = world.service(&with("b", "10.96.0.2")).service(&with("a", "10.96.0.1"));
        assert_eq!(world.to(OUTSIDE, EXTERNAL_IP), "10.244.2.1:8080");
    }
}

#[test]
fn verdict_displays_in_one_line() {
    let mut world = World::new(iptables()).service(&exposed_local()).slice(&far());
    assert_eq!(
        world.tcp(NODE, NODE_PORT).to_string(),
        "to 10.244.2.1:8080: TCP node port of default/web, cluster endpoints (policy Local, sender \
         in the cluster), load balanced, masqueraded: external traffic from this node"
    );
    assert_eq!(
        world.tcp(OUTSIDE, NODE_PORT).to_string(),
        "dropped: TCP node port of default/web, local endpoints, no usable endpoint on this node"
    );
    assert_eq!(world.tcp(POD, "1.2.3.4:5").to_string(), "not proxied: no Service has this address and port");
}
