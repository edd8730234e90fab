//! Clusters generated from a seed, with every kind of Service that DNS treats differently.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use discovery_core::policy::{Rng, SplitMix64};

use super::world::{Backend, DnsService, Kind, Outside, Port, World};

/// Names outside of the cluster that an ExternalName may point to.
const HOSTS: [&str; 4] = ["db.example.com", "v6.example.com", "alias.example.com", "nowhere.example.com"];

/// Generates worlds. It never assigns an address twice, so the Services of several worlds do not collide.
pub(super) struct Generator {
    rng: SplitMix64,
    pods: u16,
    services: u16,
}

impl Generator {
    pub(super) fn new(seed: u64) -> Self {
        Self { rng: SplitMix64::with_seed(seed), pods: 0, services: 0 }
    }

    /// A world of `namespaces` namespaces with `services` Services each, and one more namespace without any.
    pub(super) fn world(&mut self, prefix: &str, namespaces: usize, services: usize) -> World {
        let mut world = World { outside: outside(), ..World::default() };
        world.namespaces.push(format!("{prefix}-bare"));
        for at in 0..namespaces {
            let namespace = format!("{prefix}-{at}");
            for at in 0..services {
                let service = self.service(&namespace, at, services);
                world.services.push(service);
            }
            world.namespaces.push(namespace);
        }
        world
    }

    /// A headless Service with `pods` ready pods and EndpointSlices written by the test.
    pub(super) fn large(&mut self, namespace: &str, pods: usize) -> DnsService {
        let backend = |_| {
            self.pods += 1;
            let [high, low] = self.pods.to_be_bytes();
            let ips = vec![IpAddr::V4(Ipv4Addr::new(10, 244, 16 + high, low))];
            Backend { served: ips.clone(), ips, hostname: None, ready: true, own_port: None }
        };
        DnsService {
            namespace: namespace.to_owned(),
            name: format!("large-{pods}"),
            kind: Kind::Headless,
            ports: vec![Port { name: "http".to_owned(), protocol: "TCP", number: 80 }],
            backends: (0..pods).map(backend).collect(),
            manual: true,
            publish_not_ready: false,
        }
    }

    fn below(&mut self, n: usize) -> usize {
        (self.rng.next_u64() % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn service(&mut self, namespace: &str, at: usize, of: usize) -> DnsService {
        let name = if self.one_in(6) { format!("svc-{at}-a") } else { format!("svc{at}") };
        let kind = match self.below(8) {
            0..=2 => Kind::ClusterIp(self.virtual_ips()),
            3..=5 => Kind::Headless,
            _ => Kind::ExternalName(self.external_name(namespace, at, of)),
        };
        let ports = self.ports(matches!(kind, Kind::Headless));
        let manual = self.one_in(3);
        let own_ports = manual && !ports.is_empty();
        let mut backends = match kind {
            Kind::ExternalName(_) => Vec::new(),
            Kind::ClusterIp(_) | Kind::Headless => self.backends(manual, own_ports),
        };
        if let (Kind::ClusterIp(ips), false) = (&kind, manual) {
            // The controller writes slices only for the address families of the Service.
            let has = |ip: &IpAddr| ips.iter().any(|other| other.is_ipv4() == ip.is_ipv4());
            backends.iter_mut().for_each(|backend| backend.served.retain(has));
            backends.retain(|backend| !backend.served.is_empty());
        }
        // The setting affects only Services with a selector, whose slices the controller writes.
        let publish_not_ready = !manual && self.one_in(4);
        DnsService { namespace: namespace.to_owned(), name, kind, ports, backends, manual, publish_not_ready }
    }

    fn virtual_ips(&mut self) -> Vec<IpAddr> {
        self.services += 1;
        let [high, low] = self.services.to_be_bytes();
        let v4 = IpAddr::V4(Ipv4Addr::new(10, 96, 16 + high, low));
        let v6 = IpAddr::V6(Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, 0x1000 + self.services));
        match self.below(4) {
            0 | 1 => vec![v4],
            2 => vec![v4, v6],
            _ => vec![v6],
        }
    }

    fn external_name(&mut self, namespace: &str, at: usize, of: usize) -> String {
        match self.below(8) {
            0..=2 => HOSTS[self.below(HOSTS.len())].to_owned(),
            // The Service itself or any other one of the namespace, which yields chains and loops.
            3 => format!("svc{at}.{namespace}.svc.cluster.local"),
            4 | 5 => format!("svc{}.{namespace}.svc.cluster.local", self.below(of)),
            6 => format!("none.{namespace}.svc.cluster.local"),
            _ => ["mixed.example.com", "10.1.2.3", "2001--db8"][self.below(3)].to_owned(),
        }
    }

    fn ports(&mut self, may_be_none: bool) -> Vec<Port> {
        let port = |name: &str, protocol, number| Port { name: name.to_owned(), protocol, number };
        match self.below(6) {
            0 if may_be_none => Vec::new(),
            0 | 1 => vec![port("", "TCP", 8080)],
            2 => vec![port("http", "TCP", 80)],
            3 => vec![port("http", "TCP", 80), port("grpc", "TCP", 9090)],
            4 => vec![port("dns", "UDP", 53), port("dns-tcp", "TCP", 53)],
            _ => vec![port("http", "TCP", 80), port("http2", "SCTP", 80), port("metrics", "UDP", 9100)],
        }
    }

    fn backends(&mut self, manual: bool, own_ports: bool) -> Vec<Backend> {
        let mut backends = Vec::new();
        for at in 0..[0, 1, 2, 3, 5, 7][self.below(6)] {
            let hostname = match self.below(4) {
                0 | 1 => None,
                2 => Some(format!("web-{at}")),
                _ => Some("shared".to_owned()),
            };
            let ips = self.pod_ips(manual);
            let ready = !self.one_in(4);
            let own_port = (own_ports && self.one_in(3)).then_some(20_000 + self.pods % 3);
            backends.push(Backend { served: ips.clone(), ips, hostname, ready, own_port });
        }
        backends
    }

    /// A pod's primary address family is that of its node; endpoints that the test writes may have any.
    fn pod_ips(&mut self, manual: bool) -> Vec<IpAddr> {
        self.pods += 1;
        let [high, low] = self.pods.to_be_bytes();
        let v4 = IpAddr::V4(Ipv4Addr::new(10, 244, 16 + high, low));
        let v6 = IpAddr::V6(Ipv6Addr::new(0xfd00, 0x244, 0, 0, 0, 0, 0, self.pods));
        match self.below(4) {
            0 => vec![v4, v6],
            1 if manual => vec![v6],
            _ => vec![v4],
        }
    }
}

fn outside() -> Vec<Outside> {
    let address = |name: &str, ip: &str| Outside::Address(name.to_owned(), ip.parse().unwrap());
    vec![
        address("db.example.com", "192.0.2.7"),
        address("db.example.com", "192.0.2.8"),
        address("v6.example.com", "2001:db8::7"),
        Outside::Alias("alias.example.com".to_owned(), "db.example.com".to_owned()),
        address("mixed.example.com", "192.0.2.9"),
    ]
}
