//! What kube-proxy's flags and configuration file say.

use super::{Cidr, LocalDetector, mode::Mode, object::IpFamily};

/// The settings of one family's proxy on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub(super) family: IpFamily,
    pub(super) mode: Mode,
    pub(super) node_name: String,
    pub(super) masquerade_all: bool,
    pub(super) detector: LocalDetector,
    pub(super) node_port_addresses: Vec<Cidr>,
    pub(super) localhost_node_ports: bool,
    pub(super) service_cidrs: Vec<Cidr>,
}

impl Config {
    /// The defaults of kube-proxy: nothing is known of the node, and pods are not told from others.
    #[must_use]
    pub fn new(family: IpFamily, mode: Mode) -> Self {
        Self {
            family,
            mode,
            node_name: String::new(),
            masquerade_all: false,
            detector: LocalDetector::None,
            node_port_addresses: Vec::new(),
            localhost_node_ports: true,
            service_cidrs: Vec::new(),
        }
    }

    /// The node's name (`--hostname-override`). Without one, no endpoint is local.
    #[must_use]
    pub fn with_node_name(mut self, name: impl Into<String>) -> Self {
        self.node_name = name.into();
        self
    }

    /// Whether all traffic to cluster IPs is masqueraded (`--masquerade-all`).
    #[must_use]
    pub fn with_masquerade_all(mut self, all: bool) -> Self {
        self.masquerade_all = all;
        self
    }

    /// How traffic from pods is told from other traffic (`--detect-local-mode`).
    #[must_use]
    pub fn with_detector(mut self, detector: LocalDetector) -> Self {
        self.detector = detector;
        self
    }

    /// Which of the node's addresses have node ports (`--nodeport-addresses`), of either family.
    #[must_use]
    pub fn with_node_port_addresses(mut self, ranges: impl IntoIterator<Item = Cidr>) -> Self {
        self.node_port_addresses = ranges.into_iter().collect();
        self
    }

    /// Whether `127.0.0.1` has node ports (`--iptables-localhost-nodeports`), in iptables mode.
    #[must_use]
    pub fn with_localhost_node_ports(mut self, has: bool) -> Self {
        self.localhost_node_ports = has;
        self
    }

    /// The ranges that cluster IPs are from (the `ServiceCIDR` objects), of either family. Only nftables mode reads
    /// them.
    #[must_use]
    pub fn with_service_cidrs(mut self, ranges: impl IntoIterator<Item = Cidr>) -> Self {
        self.service_cidrs = ranges.into_iter().collect();
        self
    }

    /// The family.
    #[must_use]
    pub const fn family(&self) -> IpFamily {
        self.family
    }

    /// The mode.
    #[must_use]
    pub const fn mode(&self) -> &Mode {
        &self.mode
    }
}
