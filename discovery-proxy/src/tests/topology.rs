//! Usable endpoints. Upstream: TestCategorizeEndpoints.

use super::world::*;
use crate::{Flow, Scope, Topology, UsableEndpoints, object::*};

fn hinted(endpoint: SliceEndpoint, zones: &[&str], nodes: &[&str]) -> SliceEndpoint {
    let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    SliceEndpoint { hints: Some(Hints { for_zones: owned(zones), for_nodes: owned(nodes) }), ..endpoint }
}

fn usable_of(service: &Service, endpoints: Vec<SliceEndpoint>) -> UsableEndpoints {
    let world = World::new(iptables()).service(service).slice(&slice(endpoints));
    let flow = Flow::tcp(POD.parse().unwrap(), CLUSTER_IP.parse().unwrap());
    world.proxy.snapshot().lookup(&flow).unwrap().usable().clone()
}

fn usable(endpoints: Vec<SliceEndpoint>) -> UsableEndpoints {
    usable_of(&service(), endpoints)
}

fn last(addrs: &[std::net::SocketAddr]) -> Vec<u8> {
    addrs.iter().map(|addr| addr.to_string().split(['.', ':']).nth(3).unwrap().parse().unwrap()).collect()
}

fn p(last: u8) -> SliceEndpoint {
    pod(&format!("10.244.2.{last}"))
}

fn l(last: u8) -> SliceEndpoint {
    local(&format!("10.244.2.{last}"))
}

fn internal_local() -> Service {
    Service { internal_traffic_policy: TrafficPolicy::Local, ..service() }
}

#[test]
fn external_policy_has_no_effect_without_external_access() {
    let service = Service { external_traffic_policy: TrafficPolicy::Local, ..service() };
    assert!(usable_of(&service, vec![l(1), p(2)]).local.is_empty());
}

#[test]
fn service_may_use_both_sets() {
    let both = Service { external_traffic_policy: TrafficPolicy::Local, ..exposed() };
    let usable = usable_of(&both, vec![l(1), p(2)]);
    assert_eq!((last(&usable.cluster), last(&usable.local)), (vec![1, 2], vec![1]));
    let only_local = usable_of(&internal_local(), vec![l(1), p(2)]);
    assert_eq!((last(&only_local.cluster), last(&only_local.local)), (vec![], vec![1]));
    assert_eq!(last(&only_local.all_reachable().into_boxed_slice()), [1]);
}

#[test]
fn no_topology_without_a_ready_endpoint() {
    assert_eq!(usable(vec![unready(hinted(p(1), &["zone-a"], &[]))]).topology, Topology::NoneReady);
}

#[test]
fn same_node_if_every_ready_endpoint_has_a_node_hint_and_one_names_this_node() {
    let usable = usable(vec![hinted(p(1), &[], &["here"]), hinted(p(2), &[], &["there"])]);
    assert_eq!((usable.topology, last(&usable.cluster)), (Topology::SameNode, vec![1]));
}

#[test]
fn same_node_falls_back_to_same_zone_and_then_to_all_endpoints() {
    let zone = vec![hinted(p(1), &["zone-a"], &["there"]), hinted(p(2), &["zone-b"], &["there"])];
    let by_zone = usable(zone);
    assert_eq!((by_zone.topology, last(&by_zone.cluster)), (Topology::SameZone, vec![1]));
    let elsewhere = usable(vec![hinted(p(1), &["zone-c"], &["there"]), hinted(p(2), &["zone-b"], &["there"])]);
    assert_eq!((elsewhere.topology, last(&elsewhere.cluster)), (Topology::NotForHere, vec![1, 2]));
}

#[test]
fn hint_may_name_several_zones() {
    let usable = usable(vec![hinted(p(1), &["zone-a", "zone-b"], &[]), hinted(p(2), &["zone-b"], &[])]);
    assert_eq!(last(&usable.cluster), [1]);
}

#[test]
fn ready_endpoint_without_a_hint_turns_topology_off() {
    let ready = usable(vec![hinted(p(1), &["zone-a"], &[]), p(2)]);
    assert_eq!((ready.topology, last(&ready.cluster)), (Topology::Unhinted, vec![1, 2]));
    let unready = usable(vec![hinted(p(1), &["zone-a"], &[]), unready(p(2))]);
    assert_eq!((unready.topology, last(&unready.cluster)), (Topology::SameZone, vec![1]));
}

#[test]
fn ignores_zone_hints_if_the_zone_is_unknown() {
    let mut world = World::new(iptables())
        .service(&service())
        .slice(&slice([hinted(p(1), &["zone-a"], &[]), hinted(p(2), &["zone-b"], &[])]));
    world.proxy.apply_node(&Node { labels: Default::default(), ..node() });
    world.sync();
    assert_eq!(world.tcp(POD, CLUSTER_IP).matched().unwrap().topology(), Topology::UnknownZone);
    assert_eq!(world.reached(POD, CLUSTER_IP).len(), 2);
}

#[test]
fn node_that_changes_its_zone_uses_other_endpoints() {
    let hints = [hinted(p(1), &["zone-a"], &[]), hinted(p(2), &["zone-b"], &[])];
    let mut world = World::new(iptables()).service(&service()).slice(&slice(hints));
    assert_eq!(world.reached(POD, CLUSTER_IP), ["10.244.2.1:8080"]);
    world.proxy.apply_node(&Node { labels: [(ZONE_LABEL.into(), "zone-b".into())].into(), ..node() });
    world.sync();
    assert_eq!(world.reached(POD, CLUSTER_IP), ["10.244.2.2:8080"]);
    world.proxy.apply_node(&Node { name: "there".into(), ..node() });
    assert!(!world.sync().published, "objects of other nodes are ignored");
}

#[test]
fn falls_back_to_terminating_endpoints_whatever_their_hints() {
    let usable = usable(vec![closing(hinted(p(1), &["zone-b"], &[])), unready(p(2)), with(p(3), false, false, true)]);
    assert_eq!((last(&usable.cluster), usable.cluster_terminating, usable.has_any), (vec![1], true, true));
}

#[test]
fn local_set_ignores_hints() {
    let usable = usable_of(&internal_local(), vec![hinted(l(1), &["zone-b"], &[]), hinted(p(2), &["zone-a"], &[])]);
    assert_eq!(last(&usable.local), [1]);
}

#[test]
fn cluster_and_local_sets_fall_back_independently() {
    let both = Service { external_traffic_policy: TrafficPolicy::Local, ..exposed() };
    let usable = usable_of(&both, vec![closing(l(1)), p(2)]);
    assert_eq!((last(&usable.cluster), usable.cluster_terminating), (vec![2], false));
    assert_eq!((last(&usable.local), usable.local_terminating), (vec![1], true));
}

#[test]
fn never_uses_endpoints_that_are_neither_ready_nor_serving_while_terminating() {
    let usable = usable_of(
        &internal_local(),
        vec![unready(l(1)), with(l(2), false, true, false), with(l(3), false, false, true)],
    );
    assert_eq!((usable.local.len(), usable.cluster.len(), usable.has_any), (0, 0, false));
}

#[test]
fn has_any_counts_endpoints_of_other_nodes_with_policy_local() {
    assert!(usable_of(&internal_local(), vec![p(1)]).has_any);
    assert!(usable_of(&internal_local(), vec![closing(p(1))]).has_any);
    assert!(!usable_of(&internal_local(), vec![]).has_any);
}

#[test]
fn verdict_explains_ignored_hints() {
    let mut world = World::new(iptables()).service(&service()).slice(&slice([hinted(p(1), &["zone-a"], &[]), p(2)]));
    let verdict = world.tcp(POD, CLUSTER_IP);
    assert_eq!(verdict.matched().map(|matched| matched.scope), Some(Scope::Cluster));
    let text = verdict.to_string();
    assert!(text.ends_with("hints ignored: a ready endpoint has no hint, load balanced"), "{text}");
}
