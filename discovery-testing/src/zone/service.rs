use std::net::IpAddr;

use super::pod::Pod;
use crate::{
    ip::IntoIp,
    name::{DnsName, require_label},
};

/// A Kubernetes Service, as the DNS server sees it.
///
/// Namespaces, names and port names are put in lower case, as Kubernetes requires them.
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
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) ports: Vec<Port>,
    pub(super) pods: Vec<Pod>,
    pub(super) publish_not_ready: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    ClusterIp(Vec<IpAddr>),
    Headless,
    ExternalName(DnsName),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Port {
    /// Empty for an unnamed port.
    pub(crate) name: String,
    /// Lower case: `tcp`, `udp`, `sctp`.
    pub(crate) protocol: &'static str,
    pub(crate) number: u16,
}

impl Service {
    /// A Service with virtual addresses: give it at least one [`ip`](Self::ip).
    ///
    /// # Panics
    ///
    /// If a name is not a DNS label.
    #[track_caller]
    pub fn cluster_ip(namespace: &str, name: &str) -> Self {
        Self::new(namespace, name, Kind::ClusterIp(Vec::new()))
    }

    /// A Service without a virtual address: its name answers with the addresses of its ready pods.
    ///
    /// # Panics
    ///
    /// If a name is not a DNS label.
    #[track_caller]
    pub fn headless(namespace: &str, name: &str) -> Self {
        Self::new(namespace, name, Kind::Headless)
    }

    /// A Service that is an alias (CNAME) of `target`, inside the cluster or outside.
    ///
    /// A target that looks like an IPv4 address is a name in the words of Kubernetes; CoreDNS (1.14.7) has no record
    /// for such a Service, not even an empty one, and neither has this server.
    ///
    /// # Panics
    ///
    /// If a name is not a DNS label, or `target` not a DNS name.
    #[track_caller]
    pub fn external_name(namespace: &str, name: &str, target: &str) -> Self {
        let target = DnsName::require("external name", target);
        Self::new(namespace, name, Kind::ExternalName(target))
    }

    /// Adds a virtual address; one of each family makes the Service dual-stack.
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

    /// Adds a named TCP port. For a headless Service the number is the one the pods listen on.
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

    /// Adds a TCP port without a name. It has no `_port._proto` record of its own.
    pub fn unnamed_port(self, number: u16) -> Self {
        self.any_port(String::new(), "tcp", number)
    }

    /// Adds a pod; one with the same first address is replaced.
    ///
    /// A ClusterIP Service uses its pods for names like `web-0.nginx.shop.svc` and for PTR only.
    pub fn pod(mut self, pod: Pod) -> Self {
        self.put_pod(pod);
        self
    }

    /// `publishNotReadyAddresses: true`: DNS lists pods whether they are ready or not.
    pub fn publish_not_ready_addresses(mut self) -> Self {
        self.publish_not_ready = true;
        self
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name.
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

    pub(super) fn put_pod(&mut self, pod: Pod) {
        self.pods.retain(|old| old.ip() != pod.ip());
        self.pods.push(pod);
    }

    /// The virtual addresses, in declared order; none for the other kinds.
    pub(crate) fn cluster_ips(&self) -> &[IpAddr] {
        match &self.kind {
            Kind::ClusterIp(ips) => ips,
            Kind::Headless | Kind::ExternalName(_) => &[],
        }
    }

    pub(crate) fn ports(&self) -> &[Port] {
        &self.ports
    }

    /// Addresses that DNS may show, each with the label it is known under.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = (String, IpAddr)> {
        self.pods
            .iter()
            .filter(|pod| pod.is_ready() || self.publish_not_ready)
            .flat_map(|pod| pod.ips().iter().map(|ip| (pod.label(*ip), *ip)))
    }
}
