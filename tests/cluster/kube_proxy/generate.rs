//! Clusters generated from a seed, with the Service settings that kube-proxy reads, in every combination that the API
//! server accepts.

use std::net::Ipv4Addr;

use discovery_core::policy::{Rng as _, SplitMix64};

use super::{
    network::{OUTSIDE, TARGETS},
    world::{Endpoint, EndpointObjects, Kind, Port, Protocol, ProxiedService, World},
};
use crate::harness::NODE_NAME;

/// A node name that appears only in slices. The pods that it names really run on the only node.
pub(super) const ELSEWHERE: &str = "node1";

const ZONES: [&str; 3] = ["zone-a", "zone-b", "zone-c"];

/// Generates Services whose endpoints are some of the pods.
pub(super) struct Generator {
    rng: SplitMix64,
    pods: Vec<Ipv4Addr>,
}

impl Generator {
    pub(super) fn new(seed: u64, pods: Vec<Ipv4Addr>) -> Self {
        Self { rng: SplitMix64::with_seed(seed), pods }
    }

    /// A world with `services` Services.
    pub(super) fn world(&mut self, services: u8) -> World {
        World { services: (1..=services).map(|number| self.service(number)).collect() }
    }

    /// Replaces a third of the Services with others at the same addresses, removes some, changes the endpoints of some,
    /// and keeps the rest.
    pub(super) fn change(&mut self, world: &World) -> World {
        let mut changed = World::default();
        for service in &world.services {
            match self.below(6) {
                0 | 1 => changed.services.push(self.service(service.number)),
                // Only the endpoints change, the most common change in a cluster.
                2 => {
                    let mut same = service.clone();
                    same.endpoints = self.endpoints(same.endpoint_objects);
                    changed.services.push(same);
                }
                3 => {}
                _ => changed.services.push(service.clone()),
            }
        }
        changed
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        self.rng.below(n)
    }

    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn service(&mut self, number: u8) -> ProxiedService {
        let kind = match self.below(16) {
            0..=3 => Kind::ClusterIp,
            4..=7 => Kind::NodePort,
            8..=13 => Kind::LoadBalancer,
            14 => Kind::Headless,
            _ => Kind::ExternalName,
        };
        let endpoint_objects = match self.below(8) {
            0 => EndpointObjects::Endpoints,
            1..=5 => EndpointObjects::Slices(1),
            _ => EndpointObjects::Slices(2),
        };
        ProxiedService {
            number,
            kind,
            ports: self.ports(),
            external_ip: self.one_in(3),
            external_local: self.one_in(2),
            internal_local: self.one_in(3),
            // Longer than the test: another test covers the timeout.
            affinity: (kind != Kind::Headless && kind != Kind::ExternalName && self.one_in(4)).then_some(10_800),
            source_ranges: self.source_ranges(),
            ip_mode: if self.one_in(5) { Some("Proxy") } else { self.one_in(2).then_some("VIP") },
            endpoint_objects,
            endpoints: self.endpoints(endpoint_objects),
        }
    }

    fn ports(&mut self) -> Vec<Port> {
        let port = |this: &mut Self, number| Port {
            protocol: if this.one_in(3) { Protocol::Udp } else { Protocol::Tcp },
            number,
            target: this.pick(&TARGETS),
        };
        let first = port(self, 80);
        match self.below(4) {
            // The same port number for both protocols: two unrelated ports.
            0 => {
                let other = if first.protocol == Protocol::Tcp { Protocol::Udp } else { Protocol::Tcp };
                vec![first, Port { protocol: other, number: 80, target: self.pick(&TARGETS) }]
            }
            1 => vec![first, port(self, 81)],
            _ => vec![first],
        }
    }

    fn source_ranges(&mut self) -> Vec<&'static str> {
        match self.below(8) {
            0 => vec!["192.0.2.0/24"],
            1 => vec!["192.0.2.128/25", "198.51.100.0/24"],
            2 => vec!["10.244.0.0/16"],
            3 => vec!["172.31.255.0/24"],
            _ => Vec::new(),
        }
    }

    fn endpoints(&mut self, endpoint_objects: EndpointObjects) -> Vec<Endpoint> {
        let count = match self.below(8) {
            0 => 0,
            1 | 2 => 1,
            3 | 4 => 2,
            5 | 6 => 3,
            _ => 5,
        };
        let mut pods = self.pods.clone();
        // Settings that all endpoints of a Service share, so that rules that require something of every endpoint apply.
        let hinted = self.below(6);
        let state = self.below(5);
        let here = self.below(3);
        let mut endpoints = Vec::new();
        for _ in 0..count {
            let ip = pods.swap_remove(self.below(pods.len()));
            let slice = if endpoint_objects == EndpointObjects::Slices(2) { self.below(2) as u8 } else { 0 };
            let node = match (here, self.below(4)) {
                (0, _) | (1, 0 | 1) => Some(NODE_NAME),
                (_, 3) if self.one_in(3) => None,
                _ => Some(ELSEWHERE),
            };
            let mut endpoint = Endpoint { slice, node, ..Endpoint::at(ip) };
            self.set_conditions(&mut endpoint, state);
            if matches!(endpoint_objects, EndpointObjects::Slices(_)) {
                self.set_hints(&mut endpoint, hinted);
            }
            endpoints.push(endpoint);
        }
        if endpoint_objects == EndpointObjects::Slices(2)
            && self.one_in(3)
            && let Some(first) = endpoints.first()
        {
            // The same address in both slices, terminating in one of them. Any other combination has no defined result,
            // because kube-proxy iterates its slices in the order of a Go map.
            let terminating = first.terminating != Some(true);
            let conditions = if terminating { (Some(false), Some(true), Some(true)) } else { (Some(true), None, None) };
            let mut twin = Endpoint { slice: 1 - first.slice, ..first.clone() };
            (twin.ready, twin.serving, twin.terminating) = conditions;
            endpoints.push(twin);
        }
        endpoints
    }

    fn set_conditions(&mut self, endpoint: &mut Endpoint, state: usize) {
        let kind = match state {
            0 | 1 => 0,
            2 => self.below(5),
            3 => 3 + self.below(2),
            _ => 1 + self.below(3),
        };
        let (ready, serving, terminating) = match kind {
            0 => (Some(true), None, None),
            1 => (None, None, None),
            2 => (Some(false), Some(false), Some(false)),
            3 => (Some(false), Some(true), Some(true)),
            _ => (Some(false), Some(false), Some(true)),
        };
        (endpoint.ready, endpoint.serving, endpoint.terminating) = (ready, serving, terminating);
    }

    fn set_hints(&mut self, endpoint: &mut Endpoint, hinted: usize) {
        let zone = self.pick(&ZONES);
        let node = if self.one_in(2) { NODE_NAME } else { ELSEWHERE };
        match hinted {
            0 => endpoint.zones = vec![zone],
            1 => endpoint.nodes = vec![node],
            2 => (endpoint.zones, endpoint.nodes) = (vec![zone], vec![node]),
            // Only some endpoints have a hint.
            3 if self.one_in(2) => endpoint.zones = vec![zone],
            _ => {}
        }
    }
}

/// The outside addresses distinguish the source ranges: each range contains one of them or none.
#[test]
fn outside_addresses_distinguish_the_source_ranges() {
    let ranges = ["192.0.2.0/24", "192.0.2.128/25", "198.51.100.0/24"].map(|range| {
        let range = discovery_proxy::Cidr::parse(range).unwrap();
        OUTSIDE.iter().filter(|ip| range.contains(ip.parse().unwrap())).count()
    });
    assert_eq!(ranges, [1, 0, 1]);
}
