//! Services, as a test declares them.

use std::net::IpAddr;

use super::Pod;
use crate::{
    ip::IntoIp,
    name::{DnsName, require_label},
};

/// A Kubernetes Service, as the DNS server sees it.
///
/// Namespaces, names and port names are converted to lower case, which Kubernetes requires.
///
/// ```
/// use discovery_testing::{Pod, Service};
///
/// let orders = Service::cluster_ip("shop", "orders").ip("10.0.0.1").port("http", 80);
/// let nginx = Service::headless("shop", "nginx")
///     .port("web", 8080)
///     .pod(Pod::new("127.0.0.2").hostname("web-0"));
/// let db = Service::external_name("shop", "db", "db.example.com");
/// assert_eq!((db.namespace(), db.name()), ("shop", "db"));
/// # let _ = (orders, nginx);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a Service does nothing until it is applied"]
pub struct Service {
    namespace: String,
    name: String,
    kind: Kind,
    ports: Vec<Port>,
    pods: Vec<Pod>,
    publish_not_ready: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    ClusterIp(Vec<IpAddr>),
    Headless,
    ExternalName(DnsName),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Port {
    /// Empty for an unnamed port.
    name: String,
    /// Lower case: `tcp`, `udp`, `sctp`.
    protocol: &'static str,
    number: u16,
}

impl Service {
    /// Creates a Service with virtual addresses. Add at least one [`ip`](Self::ip).
    ///
    /// # Panics
    ///
    /// If a name is not a DNS label.
    #[track_caller]
    pub fn cluster_ip(namespace: &str, name: &str) -> Self {
        Self::new(namespace, name, Kind::ClusterIp(Vec::new()))
    }

    /// Creates a Service without a virtual address. Its name resolves to the addresses of its ready pods.
    ///
    /// # Panics
    ///
    /// If a name is not a DNS label.
    #[track_caller]
    pub fn headless(namespace: &str, name: &str) -> Self {
        Self::new(namespace, name, Kind::Headless)
    }

    /// Creates a Service that is an alias (CNAME) of `target`, inside or outside the cluster.
    ///
    /// Kubernetes accepts a target that looks like an IPv4 address as a name. CoreDNS (1.14.7) answers NXDOMAIN for
    /// such a Service, and so does this server.
    ///
    /// # Panics
    ///
    /// If a name is not a DNS label, or `target` not a DNS name.
    #[track_caller]
    pub fn external_name(namespace: &str, name: &str, target: &str) -> Self {
        let target = DnsName::require("external name", target);
        Self::new(namespace, name, Kind::ExternalName(target))
    }

    /// Adds a virtual address. One address of each family makes the Service dual-stack.
    ///
    /// # Panics
    ///
    /// If the text is not an IP address, or the Service is not a [`cluster_ip`](Self::cluster_ip) one.
    #[track_caller]
    pub fn ip(mut self, ip: impl IntoIp) -> Self {
        let Kind::ClusterIp(ips) = &mut self.kind else {
            panic!("Service {:?} has no cluster IP", self.name);
        };
        ips.push(ip.into_ip());
        self
    }

    /// Adds a named TCP port. For a headless Service, pass the port that the pods listen on.
    ///
    /// # Panics
    ///
    /// If the name is not a DNS label.
    #[track_caller]
    pub fn port(self, name: &str, number: u16) -> Self {
        let name = require_label("port name", name);
        self.any_port(name, "tcp", number)
    }

    /// Adds a named UDP port.
    ///
    /// # Panics
    ///
    /// If the name is not a DNS label.
    #[track_caller]
    pub fn udp_port(self, name: &str, number: u16) -> Self {
        let name = require_label("port name", name);
        self.any_port(name, "udp", number)
    }

    /// Adds a named SCTP port.
    ///
    /// # Panics
    ///
    /// If the name is not a DNS label.
    #[track_caller]
    pub fn sctp_port(self, name: &str, number: u16) -> Self {
        let name = require_label("port name", name);
        self.any_port(name, "sctp", number)
    }

    /// Adds a TCP port without a name, which has no `_port._proto` record.
    pub fn unnamed_port(self, number: u16) -> Self {
        self.any_port(String::new(), "tcp", number)
    }

    /// Adds a pod, and replaces a pod with the same first address.
    ///
    /// A ClusterIP Service uses its pods only for PTR and for names like `web-0.nginx.shop.svc`.
    pub fn pod(mut self, pod: Pod) -> Self {
        self.add_pod(pod);
        self
    }

    /// Sets `publishNotReadyAddresses: true`: DNS lists pods whether they are ready or not.
    pub fn publish_not_ready_addresses(mut self) -> Self {
        self.publish_not_ready = true;
        self
    }

    /// Returns the namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[track_caller]
    fn new(namespace: &str, name: &str, kind: Kind) -> Self {
        Self {
            namespace: require_label("namespace", namespace),
            name: require_label("Service name", name),
            kind,
            ports: Vec::new(),
            pods: Vec::new(),
            publish_not_ready: false,
        }
    }

    fn any_port(mut self, name: String, protocol: &'static str, number: u16) -> Self {
        self.ports.push(Port { name, protocol, number });
        self
    }
}

/// Changes to a declared Service.
impl Service {
    pub(crate) fn add_pod(&mut self, pod: Pod) {
        self.pods.retain(|old| old.ip() != pod.ip());
        self.pods.push(pod);
    }

    pub(crate) fn remove_pod(&mut self, ip: IpAddr) -> bool {
        let before = self.pods.len();
        self.pods.retain(|pod| pod.ip() != ip);
        self.pods.len() < before
    }

    pub(crate) fn set_ready(&mut self, ip: IpAddr, ready: bool) -> bool {
        match self.pods.iter_mut().find(|pod| pod.ip() == ip) {
            Some(pod) => {
                pod.set_ready(ready);
                true
            }
            None => false,
        }
    }
}

/// What the zone and the kubelet read.
impl Service {
    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Returns the name without the cluster domain: `orders.shop.svc`.
    pub(super) fn dns_name(&self) -> String {
        format!("{}.{}.svc", self.name, self.namespace)
    }

    /// Returns the virtual addresses in declared order; none for other kinds.
    pub(crate) fn cluster_ips(&self) -> &[IpAddr] {
        match &self.kind {
            Kind::ClusterIp(ips) => ips,
            Kind::Headless | Kind::ExternalName(_) => &[],
        }
    }

    /// Returns name, protocol and number of each port. The name of an unnamed port is empty.
    pub(crate) fn ports(&self) -> impl Iterator<Item = (&str, &str, u16)> {
        self.ports.iter().map(|port| (port.name.as_str(), port.protocol, port.number))
    }

    /// Returns the addresses that DNS publishes, each with its label.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = (String, IpAddr)> {
        self.published().flat_map(Pod::addresses)
    }

    /// Returns the pods that DNS publishes.
    pub(super) fn published(&self) -> impl Iterator<Item = &Pod> {
        self.pods.iter().filter(|pod| pod.is_ready() || self.publish_not_ready)
    }

    /// Returns name, protocol and number of each port of one pod: its own number, else that of the Service.
    pub(super) fn ports_of<'a>(&'a self, pod: &'a Pod) -> impl Iterator<Item = (&'a str, &'a str, u16)> {
        self.ports()
            .filter_map(|(name, protocol, number)| pod.port_number(name, number).map(|number| (name, protocol, number)))
    }

    /// Panics if a pod sets a port that the Service does not have.
    #[track_caller]
    pub(crate) fn require_ports(&self) {
        for pod in &self.pods {
            for name in pod.port_names() {
                let known: Vec<&str> = self.ports.iter().map(|port| port.name.as_str()).collect();
                assert!(
                    known.contains(&name),
                    "pod {} sets port {name:?}, which Service {:?} does not have: it has {known:?}",
                    pod.ip(),
                    self.name
                );
            }
        }
    }

    /// Returns the names without the cluster domain and the addresses of the Service itself: its virtual addresses, or
    /// those of its published pods.
    pub(super) fn addresses(&self) -> Vec<(String, IpAddr)> {
        match &self.kind {
            Kind::ClusterIp(ips) => ips.iter().map(|ip| (self.dns_name(), *ip)).collect(),
            Kind::Headless => {
                self.endpoints().map(|(label, ip)| (format!("{label}.{}", self.dns_name()), ip)).collect()
            }
            Kind::ExternalName(_) => Vec::new(),
        }
    }

    /// Returns whether a pod has this address.
    pub(super) fn has_pod(&self, ip: IpAddr) -> bool {
        self.pods.iter().any(|pod| pod.has(ip))
    }
}
