//! Which endpoints are usable. TestCategorizeEndpoints.

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
fn external_policy_means_nothing_without_external_access() {
    let service = Service { external_traffic_policy: TrafficPolicy::Local, ..service() };
    assert!(usable_of(&service, vec![l(1), p(2)]).local.is_empty());
}

#[test]
fn a_service_may_use_both_sets() {
    let both = Service { external_traffic_policy: TrafficPolicy::Local, ..exposed() };
    let usable = usable_of(&both, vec![l(1), p(2)]);
    assert_eq!((last(&usable.cluster), last(&usable.local)), (vec![1, 2], vec![1]));
    let only_local = usable_of(&internal_local(), vec![l(1), p(2)]);
    assert_eq!((last(&only_local.cluster), last(&only_local.local)), (vec![], vec![1]));
    assert_eq!(last(&only_local.all_reachable().into_boxed_slice()), [1]);
}

#[test]
fn no_ready_endpoint_no_topology() {
    assert_eq!(usable(vec![unready(hinted(p(1), &["zone-a"], &[]))]).topology, Topology::NoneReady);
}

#[test]
fn same_node_when_each_ready_one_has_a_node_hint_and_one_is_for_here() {
    let usable = usable(vec![hinted(p(1), &[], &["here"]), hinted(p(2), &[], &["there"])]);
    assert_eq!((usable.topology, last(&usable.cluster)), (Topology::SameNode, vec![1]));
}

#[test]
fn same_node_falls_back_to_same_zone_and_that_to_all() {
    let zone = vec![hinted(p(1), &["zone-a"], &["there"]), hinted(p(2), &["zone-b"], &["there"])];
    let by_zone = usable(zone);
    assert_eq!((by_zone.topology, last(&by_zone.cluster)), (Topology::SameZone, vec![1]));
    let elsewhere = usable(vec![hinted(p(1), &["zone-c"], &["there"]), hinted(p(2), &["zone-b"], &["there"])]);
    assert_eq!((elsewhere.topology, last(&elsewhere.cluster)), (Topology::NotForHere, vec![1, 2]));
}

#[test]
fn a_hint_may_name_several_zones() {
    let usable = usable(vec![hinted(p(1), &["zone-a", "zone-b"], &[]), hinted(p(2), &["zone-b"], &[])]);
    assert_eq!(last(&usable.cluster), [1]);
}

#[test]
fn one_unhinted_ready_endpoint_ends_it_and_unready_ones_do_not() {
    let ready = usable(vec![hinted(p(1), &["zone-a"], &[]), p(2)]);
    assert_eq!((ready.topology, last(&ready.cluster)), (Topology::Unhinted, vec![1, 2]));
    let unready = usable(vec![hinted(p(1), &["zone-a"], &[]), unready(p(2))]);
    assert_eq!((unready.topology, last(&unready.cluster)), (Topology::SameZone, vec![1]));
}

#[test]
fn without_a_zone_zone_hints_are_ignored() {
    let mut world = World::new(iptables())
        .service(&service())
        .slice(&slice([hinted(p(1), &["zone-a"], &[]), hinted(p(2), &["zone-b"], &[])]));
    world.proxy.apply_node(&Node { labels: Default::default(), ..node() });
    world.sync();
    assert_eq!(world.tcp(POD, CLUSTER_IP).matched().unwrap().topology(), Topology::UnknownZone);
    assert_eq!(world.reached(POD, CLUSTER_IP).len(), 2);
}

#[test]
fn a_node_that_moves_sees_other_endpoints() {
    let hints = [hinted(p(1), &["zone-a"], &[]), hinted(p(2), &["zone-b"], &[])];
    let mut world = World::new(iptables()).service(&service()).slice(&slice(hints));
    assert_eq!(world.reached(POD, CLUSTER_IP), ["10.244.2.1:8080"]);
    world.proxy.apply_node(&Node { labels: [(ZONE_LABEL.into(), "zone-b".into())].into(), ..node() });
    world.sync();
    assert_eq!(world.reached(POD, CLUSTER_IP), ["10.244.2.2:8080"]);
    world.proxy.apply_node(&Node { name: "there".into(), ..node() });
    assert!(!world.sync().published, "another node's object says nothing");
}

#[test]
fn without_ready_ones_those_that_serve_while_they_terminate_whatever_their_hints() {
    let usable = usable(vec![closing(hinted(p(1), &["zone-b"], &[])), unready(p(2)), with(p(3), false, false, true)]);
    assert_eq!((last(&usable.cluster), usable.cluster_terminating, usable.has_any), (vec![1], true, true));
}

#[test]
fn the_local_set_ignores_hints() {
    let usable = usable_of(&internal_local(), vec![hinted(l(1), &["zone-b"], &[]), hinted(p(2), &["zone-a"], &[])]);
    assert_eq!(last(&usable.local), [1]);
}

#[test]
fn the_two_fall_backs_do_not_depend_on_each_other() {
    let both = Service { external_traffic_policy: TrafficPolicy::Local, ..exposed() };
    let usable = usable_of(&both, vec![closing(l(1)), p(2)]);
    assert_eq!((last(&usable.cluster), usable.cluster_terminating), (vec![2], false));
    assert_eq!((last(&usable.local), usable.local_terminating), (vec![1], true));
}

#[test]
fn neither_ready_nor_serving_while_terminating_is_never_used() {
    let usable = usable_of(
        &internal_local(),
        vec![unready(l(1)), with(l(2), false, true, false), with(l(3), false, false, true)],
    );
    assert_eq!((usable.local.len(), usable.cluster.len(), usable.has_any), (0, 0, false));
}

#[test]
fn has_any_looks_everywhere_when_local_is_in_use() {
    assert!(usable_of(&internal_local(), vec![p(1)]).has_any);
    assert!(usable_of(&internal_local(), vec![closing(p(1))]).has_any);
    assert!(!usable_of(&internal_local(), vec![]).has_any);
}

#[test]
fn the_verdict_tells_why() {
    let mut world = World::new(iptables()).service(&service()).slice(&slice([hinted(p(1), &["zone-a"], &[]), p(2)]));
    let verdict = world.tcp(POD, CLUSTER_IP);
    assert_eq!(verdict.matched().map(|matched| matched.scope), Some(Scope::Cluster));
    let text = verdict.to_string();
    assert!(text.ends_with("hints ignored: a ready endpoint has no hint, load balanced"), "{text}");
}
