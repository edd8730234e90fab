//! Properties that hold for random histories of events.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::world::*;
use crate::{
    Changes, Flow, IptablesConfig, Maglev, Mode, NamespacedName, Proxier, Scheduler, Scope, SourceHash, object::*,
};
use discovery_core::policy::SplitMix64;

#[derive(Clone, Debug)]
enum Event {
    Service(Service),
    DeleteService(String),
    Slice(EndpointSlice),
    DeleteSlice(EndpointSlice),
    Node(Option<&'static str>),
    Sync,
}

const NAMES: [&str; 3] = ["a", "b", "c"];

fn policies() -> impl Strategy<Value = TrafficPolicy> {
    prop_oneof![Just(TrafficPolicy::Cluster), Just(TrafficPolicy::Local)]
}

fn services() -> impl Strategy<Value = Service> {
    // Two Services may claim one address. Which one gets it must not depend on the order of events.
    let addresses = (0..NAMES.len(), 1_u8..5, prop::option::of(1_u8..4), prop::option::of(1_u8..4), any::<bool>());
    let ports =
        prop::sample::subsequence(vec![("x", Protocol::Tcp), ("y", Protocol::Tcp), ("x", Protocol::Udp)], 0..=3);
    let kind = prop_oneof![6 => Just(ServiceType::LoadBalancer), 1 => Just(ServiceType::ExternalName)];
    let rest = (policies(), policies(), any::<bool>(), kind);
    (addresses, ports, rest).prop_map(|((at, ip, external, vip, node_port), ports, (etp, itp, ranges, kind))| Service {
        service_type: kind,
        external_ips: external.iter().map(|last| format!("198.51.100.{last}")).collect(),
        load_balancer_ingress: vip
            .iter()
            .map(|last| LoadBalancerIngress { ip: format!("198.51.100.{last}"), ..Default::default() })
            .collect(),
        ports: (80..)
            .zip(ports)
            .map(|(port, (name, protocol))| ServicePort {
                name: name.into(),
                protocol,
                port,
                node_port: if node_port { 3_000 + port } else { 0 },
                ..ServicePort::default()
            })
            .collect(),
        external_traffic_policy: etp,
        internal_traffic_policy: itp,
        health_check_node_port: 30_100,
        load_balancer_source_ranges: ranges.then(|| "203.0.113.0/24".into()).into_iter().collect(),
        ..named(NAMES[at], &format!("10.96.0.{ip}"))
    })
}

fn slices() -> impl Strategy<Value = EndpointSlice> {
    let conditions = || prop::option::of(any::<bool>());
    let endpoint = (1_u8..6, any::<bool>(), conditions(), conditions(), conditions(), 0_usize..4);
    let endpoint = endpoint.prop_map(|(last, is_local, ready, serving, terminating, hint)| {
        let ip = format!("10.244.2.{last}");
        let zones = ["zone-a", "zone-b"].into_iter().skip(hint % 3).take(1).map(str::to_owned).collect();
        let hints = (hint < 3).then_some(Hints { for_zones: zones, for_nodes: Vec::new() });
        SliceEndpoint {
            conditions: Conditions { ready, serving, terminating },
            hints,
            ..if is_local { local(&ip) } else { pod(&ip) }
        }
    });
    let endpoints = prop::collection::vec(endpoint, 0..5);
    (0..NAMES.len(), 0..3_u8, endpoints, 8080..8082_i32).prop_map(|(at, number, endpoints, port)| EndpointSlice {
        ports: [("x", Protocol::Tcp), ("y", Protocol::Tcp), ("x", Protocol::Udp)]
            .map(|(name, protocol)| SlicePort { name: Some(name.into()), protocol, port: Some(port) })
            .into(),
        ..slice_of(NAMES[at], &format!("slice-{number}"), endpoints)
    })
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => services().prop_map(Event::Service),
        2 => (0..NAMES.len()).prop_map(|at| Event::DeleteService(NAMES[at].into())),
        8 => slices().prop_map(Event::Slice),
        2 => slices().prop_map(Event::DeleteSlice),
        1 => prop_oneof![Just(None), Just(Some("zone-a")), Just(Some("zone-b"))].prop_map(Event::Node),
        6 => Just(Event::Sync),
    ]
}

fn modes() -> impl Strategy<Value = Mode> {
    prop_oneof![
        Just(Mode::Userspace),
        Just(Mode::Iptables(IptablesConfig::default())),
        Just(Mode::Nftables),
        prop_oneof![
            Just(Scheduler::RoundRobin),
            Just(Scheduler::WeightedRoundRobin),
            Just(Scheduler::LeastConnection),
            Just(Scheduler::NeverQueue),
            Just(Scheduler::SourceHashing(SourceHash::default())),
            Just(Scheduler::DestinationHashing),
            Just(Scheduler::Maglev(Maglev::default())),
        ]
        .prop_map(ipvs),
    ]
}

/// The objects at the end of a history.
#[derive(Default)]
struct Objects {
    services: BTreeMap<String, Service>,
    slices: BTreeMap<String, EndpointSlice>,
    zone: Option<Option<&'static str>>,
}

fn node_in(zone: Option<&str>) -> Node {
    Node { labels: zone.into_iter().map(|zone| (ZONE_LABEL.to_owned(), zone.to_owned())).collect(), ..node() }
}

impl Objects {
    fn apply(&mut self, event: &Event) {
        match event {
            Event::Service(service) => drop(self.services.insert(service.name.clone(), service.clone())),
            Event::DeleteService(name) => drop(self.services.remove(name)),
            Event::Slice(slice) => drop(self.slices.insert(slice.name.clone(), slice.clone())),
            Event::DeleteSlice(slice) => drop(self.slices.remove(&slice.name)),
            Event::Node(zone) => self.zone = Some(*zone),
            Event::Sync => {}
        }
    }

    /// A new proxy with these objects only.
    fn rebuilt(&self, mode: Mode) -> World {
        let mut world = World::with(config(mode));
        if let Some(zone) = self.zone {
            world.proxy.apply_node(&node_in(zone));
        }
        self.slices.values().for_each(|slice| world.proxy.apply_endpoint_slice(slice));
        self.services.values().for_each(|service| world.proxy.apply_service(service));
        world.sync();
        world
    }
}

fn apply(proxy: &mut Proxier, event: &Event) {
    match event {
        Event::Service(service) => proxy.apply_service(service),
        Event::DeleteService(name) => proxy.delete_service(&NamespacedName::new("default", name)),
        Event::Slice(slice) => proxy.apply_endpoint_slice(slice),
        Event::DeleteSlice(slice) => proxy.delete_endpoint_slice(slice),
        Event::Node(zone) => proxy.apply_node(&node_in(*zone)),
        Event::Sync => {}
    }
}

fn flows() -> Vec<Flow<'static>> {
    let vips = (1..5).map(|last| format!("10.96.0.{last}")).chain((1..4).map(|last| format!("198.51.100.{last}")));
    let vips = vips.flat_map(|ip| (79..83).map(move |port| format!("{ip}:{port}")));
    let destinations: Vec<String> = vips.chain((3_080..3_083).map(|port| format!("192.168.0.1:{port}"))).collect();
    let sources = [POD, NODE, OUTSIDE, "10.244.2.1:9"];
    let of = |to: &String, from: &str, protocol| Flow::new(protocol, from.parse().unwrap(), to.parse().unwrap());
    destinations
        .iter()
        .flat_map(|to| sources.iter().flat_map(move |from| [Protocol::Tcp, Protocol::Udp].map(|p| of(to, from, p))))
        .collect()
}

/// Everything that a snapshot reports for a flow, except which endpoint it chooses.
fn summary(world: &mut World, flow: &Flow<'_>) -> String {
    let snapshot = world.proxy.snapshot().clone();
    let verdict = snapshot.decide(flow, world.now, &mut world.rng);
    let view = snapshot.lookup(flow).map(|view| (view.name().clone(), view.destination(), view.usable().clone()));
    let rest = verdict.matched().map(|matched| (matched.scope, matched.topology(), matched.terminating_only()));
    format!("{} {view:?} {rest:?}", verdict.endpoint().is_some())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn incremental_changes_equal_a_rebuild(mode in modes(), events in prop::collection::vec(events(), 1..40)) {
        let (mut world, mut objects) = (World::new(mode.clone()), Objects::default());
        for event in &events {
            apply(&mut world.proxy, event);
            objects.apply(event);
            if matches!(event, Event::Sync) {
                world.sync();
            }
        }
        world.sync();
        let mut rebuilt = objects.rebuilt(mode);
        for flow in flows() {
            prop_assert_eq!(summary(&mut world, &flow), summary(&mut rebuilt, &flow), "{:?}", flow);
        }
        let (one, other) = (world.proxy.snapshot(), rebuilt.proxy.snapshot());
        prop_assert_eq!(one.frontends().count(), other.frontends().count());
        prop_assert_eq!(one.no_local_endpoints(), other.no_local_endpoints());
        let health = |snapshot: &crate::Snapshot| {
            snapshot.health_checks().map(|check| (check.service.clone(), check.local_endpoints)).collect::<BTreeMap<_, _>>()
        };
        prop_assert_eq!(health(one), health(other));
    }

    #[test]
    fn chosen_endpoint_is_always_usable(mode in modes(), events in prop::collection::vec(events(), 1..30)) {
        let mut world = World::new(mode);
        for event in &events {
            apply(&mut world.proxy, event);
        }
        world.sync();
        let snapshot = world.proxy.snapshot().clone();
        for flow in flows() {
            let verdict = snapshot.decide(&flow, world.now, &mut world.rng);
            let (Some(endpoint), Some(view)) = (verdict.endpoint(), snapshot.lookup(&flow)) else { continue };
            let usable = match verdict.matched().map(|matched| matched.scope) {
                Some(Scope::Local) => &view.usable().local,
                _ => &view.usable().cluster,
            };
            prop_assert!(usable.contains(&endpoint), "{}", verdict);
        }
    }

    #[test]
    fn applying_objects_twice_publishes_once(mode in modes(), events in prop::collection::vec(events(), 1..30)) {
        let (mut world, mut objects) = (World::new(mode), Objects::default());
        for event in &events {
            apply(&mut world.proxy, event);
            objects.apply(event);
        }
        world.sync();
        let before = world.proxy.snapshot().clone();
        objects.slices.values().for_each(|slice| world.proxy.apply_endpoint_slice(slice));
        objects.services.values().for_each(|service| world.proxy.apply_service(service));
        let Changes { snapshot, published, touched, .. } = world.proxy.sync(world.now, &mut SplitMix64::with_seed(1));
        prop_assert!(!published && touched.is_empty() && std::sync::Arc::ptr_eq(&snapshot, &before));
    }
}
