//! The ports of a Service as the proxy sees them: one [`ServicePortInfo`] for each.
//!
//! Source: k/k pkg/proxy/serviceport.go, servicechangetracker.go and util/utils.go (`ShouldSkipService`,
//! `GetClusterIPByFamily`, `MapIPsByIPFamily`); tests `TestServiceToServiceMap`, `TestShouldSkipService`.
//!
//! * A headless Service, a Service without an address, and an `ExternalName` (even with an address) are not proxied.
//! * The cluster IP of a family is `clusterIPs[i]` where `ipFamilies[i]` is that family. Without `ipFamilies`, it is
//!   `clusterIP` if its family matches. The proxy of a family ignores a Service without a cluster IP of that family.
//! * External IPs, load balancer addresses and source ranges of the other family are left out.
//! * Of several ports with one name and protocol, the last one counts (`serviceMap[svcPortName] = info`).
//! * `nodePort` is used as it is: the API server checks its range.

use std::{collections::BTreeSet, fmt, net::IpAddr, sync::Arc, time::Duration};

use super::{
    Cidr,
    object::{Affinity, IpFamily, IpMode, Protocol, Service, ServicePort, ServiceType, TrafficPolicy},
    parse_ip,
};

/// The session affinity timeout of a Service that does not set one: three hours.
pub const DEFAULT_AFFINITY_TIMEOUT: Duration = Duration::from_secs(10_800);

/// The namespace and name of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct NamespacedName {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

impl NamespacedName {
    /// Creates the name of a Service.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for NamespacedName {
    /// Writes `namespace/name`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The identity of a Service port. Ports of Services and of slices are matched by name and protocol, never by number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct ServicePortName {
    /// The Service.
    pub service: NamespacedName,
    /// The port's name, which may be empty.
    pub port: Arc<str>,
    /// The port's protocol.
    pub protocol: Protocol,
}

impl ServicePortName {
    /// Creates the name of a Service port.
    #[must_use]
    pub fn new(service: NamespacedName, port: &str, protocol: Protocol) -> Self {
        Self { service, port: port.into(), protocol }
    }
}

impl fmt::Display for ServicePortName {
    /// Writes `namespace/name:port`, or `namespace/name` for a port without a name, as kube-proxy logs it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.service)?;
        if self.port.is_empty() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// The settings of a Service port, as the proxy of one family sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServicePortInfo {
    /// The cluster IP.
    pub cluster_ip: IpAddr,
    /// The port of the cluster IP, the external IPs and the load balancer's addresses.
    pub port: u16,
    /// The transport protocol.
    pub protocol: Protocol,
    /// The port on each node; 0 if the Service has no node port.
    pub node_port: u16,
    /// The external IPs.
    pub external_ips: Vec<IpAddr>,
    /// The load balancer's addresses that nodes capture.
    pub load_balancer_vips: Vec<IpAddr>,
    /// The clients that may use the load balancer's addresses; every client if empty.
    pub source_ranges: Vec<Cidr>,
    /// Whether the Service has source ranges, and none that can be read and is of this family. kube-proxy then admits
    /// everyone to the load balancer's addresses; see
    /// [`Config::with_strict_source_ranges`](crate::Config::with_strict_source_ranges).
    pub source_ranges_unusable: bool,
    /// How long session affinity remembers a client; `None` without session affinity.
    pub affinity: Option<Duration>,
    /// Whether external traffic may only use endpoints of this node.
    pub external_policy_local: bool,
    /// Whether traffic to the cluster IP may only use endpoints of this node.
    pub internal_policy_local: bool,
    /// The port of the load balancer's health check; 0 without a health check.
    pub health_check_node_port: u16,
}

impl ServicePortInfo {
    /// Returns whether the port can be reached from outside the cluster. If not, its external policy has no effect.
    #[must_use]
    pub fn externally_accessible(&self) -> bool {
        self.node_port != 0 || !self.load_balancer_vips.is_empty() || !self.external_ips.is_empty()
    }

    /// Returns whether any traffic to the port may use the endpoints of all nodes.
    #[must_use]
    pub fn uses_cluster_endpoints(&self) -> bool {
        !self.internal_policy_local || self.externally_accessible()
    }

    /// Returns whether any traffic to the port may only use the endpoints of this node.
    #[must_use]
    pub fn uses_local_endpoints(&self) -> bool {
        self.internal_policy_local || (self.external_policy_local && self.externally_accessible())
    }

    /// Returns the port's virtual addresses: the cluster IP, then external IPs, then the load balancer's addresses.
    pub fn virtual_ips(&self) -> impl Iterator<Item = IpAddr> {
        std::iter::once(self.cluster_ip).chain(self.external_ips.iter().chain(&self.load_balancer_vips).copied())
    }
}

/// Returns the ports of a Service that the proxy of a family serves; none if the Service is not proxied.
///
/// Of several ports with one name and protocol, which an API server rejects, kube-proxy serves the last one.
#[must_use]
pub fn service_ports(service: &Service, family: IpFamily) -> Vec<(ServicePortName, ServicePortInfo)> {
    if should_skip(service) {
        return Vec::new();
    }
    let Some(cluster_ip) = cluster_ip(service, family) else { return Vec::new() };
    let name = NamespacedName::new(&service.namespace, &service.name);
    let common = common(service, cluster_ip, family);
    let named = |port: &ServicePort| {
        let info = ServicePortInfo {
            // A number out of range cannot be served.
            port: u16::try_from(port.port).ok().filter(|port| *port != 0)?,
            protocol: port.protocol,
            node_port: u16::try_from(port.node_port).unwrap_or(0),
            ..common.clone()
        };
        Some((ServicePortName::new(name.clone(), &port.name, port.protocol), info))
    };
    let mut ports: Vec<_> = service.ports.iter().filter_map(named).collect();
    let mut later = BTreeSet::new();
    ports.reverse();
    ports.retain(|(name, _)| later.insert(name.clone()));
    ports.reverse();
    ports
}

fn should_skip(service: &Service) -> bool {
    matches!(service.cluster_ip.as_str(), "" | "None") || service.service_type == ServiceType::ExternalName
}

fn cluster_ip(service: &Service, family: IpFamily) -> Option<IpAddr> {
    if service.ip_families.is_empty() {
        return parse_ip(&service.cluster_ip).filter(|ip| IpFamily::from_ip(*ip) == family);
    }
    let at = service.ip_families.iter().position(|one| *one == family)?;
    parse_ip(service.cluster_ips.get(at)?)
}

/// The settings that all ports of a Service have in common.
fn common(service: &Service, cluster_ip: IpAddr, family: IpFamily) -> ServicePortInfo {
    let of_family = |ip: &IpAddr| IpFamily::from_ip(*ip) == family;
    let captured = service.load_balancer_ingress.iter().filter(|ingress| ingress.ip_mode != Some(IpMode::Proxy));
    let ranges = service.load_balancer_source_ranges.iter().filter_map(|range| Cidr::parse(range.trim()));
    let source_ranges: Vec<Cidr> = ranges.filter(|range| range.family() == family).collect();
    let timeout = service.session_affinity_timeout.and_then(|seconds| u64::try_from(seconds).ok());
    let affinity = || timeout.map_or(DEFAULT_AFFINITY_TIMEOUT, Duration::from_secs);
    let is_local = service.external_traffic_policy == TrafficPolicy::Local;
    let needs_health_check = service.service_type == ServiceType::LoadBalancer && is_local;
    ServicePortInfo {
        cluster_ip,
        port: 0,
        protocol: Protocol::Tcp,
        node_port: 0,
        external_ips: service.external_ips.iter().filter_map(|ip| parse_ip(ip)).filter(of_family).collect(),
        load_balancer_vips: captured.filter_map(|ingress| parse_ip(&ingress.ip)).filter(of_family).collect(),
        source_ranges_unusable: source_ranges.is_empty() && !service.load_balancer_source_ranges.is_empty(),
        source_ranges,
        affinity: (service.session_affinity == Affinity::ClientIp).then(affinity),
        external_policy_local: is_local,
        internal_policy_local: service.internal_traffic_policy == TrafficPolicy::Local,
        health_check_node_port: match needs_health_check {
            true => u16::try_from(service.health_check_node_port).unwrap_or(0),
            false => 0,
        },
    }
}
