//! Pods, as a test declares them.

use std::{collections::BTreeMap, net::IpAddr};

use crate::{ip::IntoIp, name::require_label};

/// A pod behind a [`Service`](crate::Service), as the DNS server sees it: addresses, host name, readiness.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a Pod does nothing until it is given to a Service"]
pub struct Pod {
    ips: Vec<IpAddr>,
    hostname: Option<String>,
    ready: bool,
    /// Ports of the Service, by name, that differ in this pod; `None` if the pod does not have the port.
    ports: BTreeMap<String, Option<u16>>,
}

impl Pod {
    /// Creates a ready pod with one address and without a host name.
    ///
    /// # Panics
    ///
    /// If the text is not an IP address.
    #[track_caller]
    pub fn new(ip: impl IntoIp) -> Self {
        Self { ips: vec![ip.into_ip()], hostname: None, ready: true, ports: BTreeMap::new() }
    }

    /// Adds an address of the other family.
    ///
    /// # Panics
    ///
    /// If the text is not an IP address.
    #[track_caller]
    pub fn with_ip(mut self, ip: impl IntoIp) -> Self {
        self.ips.push(ip.into_ip());
        self
    }

    /// Sets the host name (`web-0` in a StatefulSet). Several pods may share a host name.
    ///
    /// # Panics
    ///
    /// If the name is not a DNS label.
    #[track_caller]
    pub fn hostname(mut self, hostname: &str) -> Self {
        self.hostname = Some(require_label("host name", hostname));
        self
    }

    /// Makes the pod not ready, or terminating: DNS does not list it.
    pub fn not_ready(mut self) -> Self {
        self.ready = false;
        self
    }

    /// Sets the number of the Service's port `name` in this pod. The empty name is the unnamed port.
    ///
    /// In Kubernetes a Service with a named `targetPort` has pods with different ports, each in an EndpointSlice for its
    /// number. SRV shows the numbers; A and AAAA do not.
    ///
    /// ```
    /// use discovery_testing::{Pod, Service};
    ///
    /// let nginx = Service::headless("shop", "nginx")
    ///     .port("web", 8080)
    ///     .pod(Pod::new("10.1.0.1"))
    ///     .pod(Pod::new("10.1.0.2").port("web", 8081))
    ///     .pod(Pod::new("10.1.0.3").without_port("web"));
    /// # let _ = nginx;
    /// ```
    pub fn port(mut self, name: &str, number: u16) -> Self {
        self.ports.insert(name.to_ascii_lowercase(), Some(number));
        self
    }

    /// Removes the Service's port `name` from this pod, whose container does not declare it. The pod keeps its addresses,
    /// and has no SRV record for the port.
    pub fn without_port(mut self, name: &str) -> Self {
        self.ports.insert(name.to_ascii_lowercase(), None);
        self
    }

    /// Returns the first address, which identifies the pod within its Service.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.ips[0]
    }

    /// Returns the label below the Service: the host name, else the address with dashes. As in CoreDNS
    /// `endpointHostname`, `fd00::` becomes `fd00--0`, because a label must not end in a dash.
    fn label(&self, ip: IpAddr) -> String {
        if let Some(hostname) = &self.hostname {
            return hostname.clone();
        }
        let mut label = ip.to_string().replace(['.', ':'], "-");
        if label.ends_with('-') {
            label.push('0');
        }
        label
    }
}

/// What the zone reads.
impl Pod {
    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    pub(super) fn set_ready(&mut self, ready: bool) {
        self.ready = ready;
    }

    pub(super) fn has(&self, ip: IpAddr) -> bool {
        self.ips.contains(&ip)
    }

    /// Returns each address with its label.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (String, IpAddr)> {
        self.ips.iter().map(|ip| (self.label(*ip), *ip))
    }

    /// Returns the number of a port in this pod, where `number` is that of the Service; `None` if the pod does not have
    /// the port.
    pub(super) fn port_number(&self, name: &str, number: u16) -> Option<u16> {
        self.ports.get(name).copied().unwrap_or(Some(number))
    }

    /// Returns the names of the ports that differ from those of the Service.
    pub(super) fn port_names(&self) -> impl Iterator<Item = &str> {
        self.ports.keys().map(String::as_str)
    }
}
