//! A fake cluster of two nodes. Its control plane allocates addresses and node ports, places pods, and writes slices:
//! enough to give kube-proxy's rules something to decide.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Instant,
};

use discovery_core::policy::SplitMix64;

use discovery_proxy::{
    Cidr, Config, LocalDetector, Mode, NamespacedName, Proxier, Snapshot,
    object::{
        EndpointSlice, Endpoints, IpFamily, Node as NodeObject, SERVICE_NAME_LABEL, Service, ServiceType,
        SliceEndpoint, SlicePort,
    },
    parse_ip,
    validate::Rules,
};

use super::{
    manifests::{Labels, Manifests, Pods},
    options::{Node, Options},
};

/// The cluster, and the snapshot of kube-proxy on one of its nodes.
pub(crate) struct Cluster {
    pub services: Vec<Service>,
    /// All slices, including those of headless Services, which kube-proxy ignores.
    pub slices: Vec<EndpointSlice>,
    pub node: Node,
    pub mode: Mode,
    pub snapshot: Arc<Snapshot>,
    pub rng: SplitMix64,
}

struct Pod {
    namespace: String,
    labels: Labels,
    ports: BTreeMap<String, i32>,
    ip: Ipv4Addr,
    node: Node,
}

impl Node {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::A => "node-a",
            Self::B => "node-b",
        }
    }

    pub(crate) const fn ip(self) -> IpAddr {
        match self {
            Self::A => IpAddr::V4(Ipv4Addr::new(192, 168, 0, 11)),
            Self::B => IpAddr::V4(Ipv4Addr::new(192, 168, 0, 12)),
        }
    }

    /// The address of a pod on this node.
    pub(crate) const fn pod_ip(self, number: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 244, self as u8 + 1, number)
    }
}

impl Cluster {
    pub(crate) fn run(manifests: Manifests, options: &Options) -> Result<Self, String> {
        let pods = start(&manifests.pods);
        let services = allocate(&manifests.services)?;
        let mut slices = manifests.slices;
        for (service, selector) in services.iter().filter(|(_, selector)| !selector.is_empty()) {
            slices.extend(slices_of(service, selector, &pods));
        }
        // Endpoints are mirrored only for a Service without a selector: otherwise the slice controller writes the slices.
        let is_selecting = |endpoints: &&Endpoints| {
            let is_named =
                |service: &Service| service.namespace == endpoints.namespace && service.name == endpoints.name;
            services.iter().any(|(service, selector)| is_named(service) && !selector.is_empty())
        };
        for endpoints in manifests.endpoints.iter().filter(|endpoints| !is_selecting(endpoints)) {
            slices.extend(endpoints.to_slices());
        }
        let config = Config::new(IpFamily::V4, options.mode.clone())
            .with_node_name(options.node.name())
            .with_detector(LocalDetector::Cidr(cidr("10.244.0.0/16")?))
            .with_service_cidrs([cidr("10.96.0.0/12")?]);
        let mut proxier = Proxier::new(config);
        proxier.apply_node(&NodeObject {
            name: options.node.name().to_owned(),
            addresses: vec![options.node.ip().to_string()],
            ..NodeObject::default()
        });
        services.iter().for_each(|(service, _)| proxier.apply_service(service));
        slices.iter().for_each(|slice| proxier.apply_endpoint_slice(slice));
        // The seed is fixed, so every run prints the same.
        let mut rng = SplitMix64::with_seed(1);
        let snapshot = proxier.sync(Instant::now(), &mut rng).snapshot;
        let services = services.into_iter().map(|(service, _)| service).collect();
        Ok(Self { services, slices, node: options.node, mode: options.mode.clone(), snapshot, rng })
    }

    /// The addresses of a Service's endpoints, for a Service without a virtual address.
    pub(crate) fn endpoints(&self, service: &Service) -> Vec<&str> {
        let named = NamespacedName::new(&service.namespace, &service.name);
        let is_owned = |slice: &&EndpointSlice| {
            slice.service_name().is_some_and(|name| NamespacedName::new(&slice.namespace, name) == named)
        };
        let endpoints = self.slices.iter().filter(is_owned).flat_map(|slice| &slice.endpoints);
        endpoints.flat_map(|endpoint| endpoint.addresses.first()).map(String::as_str).collect()
    }
}

fn cidr(text: &str) -> Result<Cidr, String> {
    Cidr::parse(text).ok_or_else(|| format!("`{text}` is not an address range such as 10.0.0.0/8"))
}

/// Places pods on the two nodes in turn.
fn start(all: &[Pods]) -> Vec<Pod> {
    let each = all.iter().flat_map(|pods| (0..pods.replicas).map(move |_| pods));
    let pod = |(number, pods): (usize, &Pods)| {
        let node = if number % 2 == 0 { Node::A } else { Node::B };
        Pod {
            namespace: pods.namespace.clone(),
            labels: pods.labels.clone(),
            ports: pods.ports.clone(),
            ip: node.pod_ip(u8::try_from(number / 2 + 3).unwrap_or(u8::MAX)),
            node,
        }
    };
    each.enumerate().map(pod).collect()
}

/// Validates Services and fills in missing addresses and node ports, as the API server does.
fn allocate(services: &[(Service, Labels)]) -> Result<Vec<(Service, Labels)>, String> {
    let rules = Rules::default().with_service_cidrs([cidr("10.96.0.0/12")?]);
    let taken: Vec<&str> = services.iter().map(|(service, _)| service.cluster_ip.as_str()).collect();
    let mut ips = (20..).map(|last| Ipv4Addr::from_bits(Ipv4Addr::new(10, 96, 0, 0).to_bits() + last));
    // Addresses and node ports that a manifest names are reserved before others are handed out.
    let named_ports = || {
        let ports = services.iter().flat_map(|(service, _)| service.ports.iter().map(move |port| (service, port)));
        ports.filter(|(_, port)| port.node_port != 0)
    };
    let mut node_ports = (30_200..).filter(|number| named_ports().all(|(_, port)| port.node_port != *number));
    let mut faults = Vec::new();
    let (mut seen_ips, mut seen_ports) = (BTreeMap::new(), BTreeMap::new());
    let named = |service: &Service| NamespacedName::new(&service.namespace, &service.name).to_string();
    for (service, _) in services.iter().filter(|(service, _)| parse_ip(&service.cluster_ip).is_some()) {
        if let Some(first) = seen_ips.insert(parse_ip(&service.cluster_ip), named(service)) {
            let (name, ip) = (named(service), &service.cluster_ip);
            faults.push(format!("Service `{name}`: spec.clusterIP: {ip} is already the address of Service `{first}`"));
        }
    }
    for (service, port) in named_ports() {
        if let Some(first) = seen_ports.insert((port.node_port, port.protocol), named(service)) {
            let (name, number) = (named(service), port.node_port);
            faults.push(format!("Service `{name}`: nodePort: {number} is already a node port of Service `{first}`"));
        }
    }
    let mut all = services.to_vec();
    for (service, _) in &mut all {
        let errors = rules.service(service);
        if !errors.is_empty() {
            let list: Vec<_> = errors.iter().map(|error| format!("  {error}")).collect();
            let text = list.join("\n");
            faults.push(format!("the API server would reject Service `{}`:\n{text}", named(service)));
        }
        if service.service_type != ServiceType::ExternalName && service.cluster_ip.is_empty() {
            let free = ips.by_ref().map(|ip| ip.to_string()).find(|ip| !taken.contains(&ip.as_str()));
            service.cluster_ip = free.unwrap_or_default();
        }
        if service.cluster_ips.is_empty() {
            service.cluster_ips = vec![service.cluster_ip.clone()];
        }
        if matches!(service.service_type, ServiceType::NodePort | ServiceType::LoadBalancer) {
            for port in service.ports.iter_mut().filter(|port| port.node_port == 0) {
                port.node_port = node_ports.next().unwrap_or_default();
            }
        }
    }
    if faults.is_empty() { Ok(all) } else { Err(faults.join("\n")) }
}

/// Creates the slices of a Service as the slice controller does: one for each set of target port numbers.
fn slices_of(service: &Service, selector: &Labels, pods: &[Pod]) -> Vec<EndpointSlice> {
    let is_selected = |pod: &&Pod| {
        pod.namespace == service.namespace && selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value))
    };
    let mut by_ports: BTreeMap<Vec<Option<i32>>, Vec<&Pod>> = BTreeMap::new();
    for pod in pods.iter().filter(is_selected) {
        let number = |port: &discovery_proxy::object::ServicePort| match port.target_port.as_str() {
            "" => Some(port.port),
            target => target.parse().ok().or_else(|| pod.ports.get(target).copied()),
        };
        by_ports.entry(service.ports.iter().map(number).collect()).or_default().push(pod);
    }
    let slice = |(at, (numbers, pods)): (usize, (Vec<Option<i32>>, Vec<&Pod>))| EndpointSlice {
        namespace: service.namespace.clone(),
        name: format!("{}-{at}", service.name),
        labels: [(SERVICE_NAME_LABEL.to_owned(), service.name.clone())].into(),
        ports: service
            .ports
            .iter()
            .zip(numbers)
            .filter_map(|(port, number)| {
                let name = Some(port.name.clone());
                number.map(|_| SlicePort { name, protocol: port.protocol, port: number })
            })
            .collect(),
        endpoints: pods
            .iter()
            .map(|pod| SliceEndpoint {
                addresses: vec![pod.ip.to_string()],
                node_name: Some(pod.node.name().to_owned()),
                ..SliceEndpoint::default()
            })
            .collect(),
        ..EndpointSlice::default()
    };
    by_ports.into_iter().enumerate().map(slice).collect()
}
