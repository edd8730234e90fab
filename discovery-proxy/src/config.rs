//! The settings of a proxy, and the node that it runs on.
//!
//! Source: k/k pkg/proxy/util/nodeport_addresses.go (`NewNodePortAddresses`, `GetNodeIPs`, `MatchAll`); test
//! `TestGetNodeIPs`. For loopback: pkg/proxy/iptables/proxier.go (`localhostNodePorts`), nftables/proxier.go and
//! ipvs/proxier.go, which exclude it. For node addresses as senders: the rules `--src-type LOCAL` (iptables) and
//! `fib saddr type local` (nftables).
//!
//! Node ports are served at the node's addresses that match `--nodeport-addresses`:
//!
//! * Ranges of the other family are ignored. Without a range of this family, every address matches. A range that
//!   covers everything makes the others irrelevant.
//! * nftables mode without any range serves node ports at the primary address only.
//! * nftables and IPVS mode never serve node ports on loopback, even if it is listed. iptables mode serves them at
//!   `127.0.0.0/8` unless that is switched off, and never at `::1`. Userspace mode is treated like iptables mode (our
//!   choice, because its rules redirect local traffic).

use std::net::{IpAddr, Ipv4Addr};

use super::{
    Cidr, Flow, LocalDetector, Masquerade, Sender,
    mode::Mode,
    object::{IpFamily, Node, ZONE_LABEL},
    parse_ip,
};

/// The settings of the proxy for one IP family on one node: kube-proxy's flags and configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    family: IpFamily,
    mode: Mode,
    node_name: String,
    masquerade_all: bool,
    detector: LocalDetector,
    node_port_addresses: Vec<Cidr>,
    localhost_node_ports: bool,
    service_cidrs: Vec<Cidr>,
    strict_source_ranges: bool,
}

impl Config {
    /// Creates the default settings of kube-proxy, with no node name and no [`LocalDetector`].
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
            strict_source_ranges: false,
        }
    }

    /// Sets whether a Service whose source ranges are all malformed, or of the other family, admits no one to its load
    /// balancer's addresses. kube-proxy skips such ranges, and without any range it admits everyone, which is the
    /// default. Userspace mode has no source ranges. [`Changes::warnings`](crate::Changes) names such Services in
    /// either case.
    #[must_use]
    pub fn with_strict_source_ranges(mut self, strict: bool) -> Self {
        self.strict_source_ranges = strict;
        self
    }

    /// Whether unusable source ranges admit no one.
    pub(super) const fn strict_source_ranges(&self) -> bool {
        self.strict_source_ranges
    }

    /// Sets the node's name (`--hostname-override`). Without a name, no endpoint is local.
    #[must_use]
    pub fn with_node_name(mut self, name: impl Into<String>) -> Self {
        self.node_name = name.into();
        self
    }

    /// Masquerades all traffic to cluster IPs (`--masquerade-all`).
    #[must_use]
    pub fn with_masquerade_all(mut self, all: bool) -> Self {
        self.masquerade_all = all;
        self
    }

    /// Sets how traffic from pods is recognized (`--detect-local-mode`).
    #[must_use]
    pub fn with_detector(mut self, detector: LocalDetector) -> Self {
        self.detector = detector;
        self
    }

    /// Restricts node ports to the node's addresses in these ranges, of either family (`--nodeport-addresses`).
    #[must_use]
    pub fn with_node_port_addresses(mut self, ranges: impl IntoIterator<Item = Cidr>) -> Self {
        self.node_port_addresses = ranges.into_iter().collect();
        self
    }

    /// Sets whether iptables mode serves node ports at `127.0.0.1` (`--iptables-localhost-nodeports`).
    #[must_use]
    pub fn with_localhost_node_ports(mut self, enabled: bool) -> Self {
        self.localhost_node_ports = enabled;
        self
    }

    /// Sets the ranges that cluster IPs are allocated from, of either family (the `ServiceCIDR` objects). Only
    /// nftables mode reads them.
    #[must_use]
    pub fn with_service_cidrs(mut self, ranges: impl IntoIterator<Item = Cidr>) -> Self {
        self.service_cidrs = ranges.into_iter().collect();
        self
    }

    /// Returns the IP family.
    #[must_use]
    pub const fn family(&self) -> IpFamily {
        self.family
    }

    /// Returns the mode.
    #[must_use]
    pub const fn mode(&self) -> &Mode {
        &self.mode
    }

    /// The ranges for node ports that are of the proxy's family.
    fn node_port_ranges(&self) -> impl Iterator<Item = Cidr> {
        self.node_port_addresses.iter().filter(|range| range.family() == self.family).copied()
    }

    /// The loopback addresses that serve node ports.
    fn loopback_with_node_ports(&self) -> Option<Cidr> {
        let in_mode = matches!(self.mode, Mode::Iptables(_) | Mode::Userspace) && self.localhost_node_ports;
        if !in_mode || self.family != IpFamily::V4 {
            return None;
        }
        if self.node_ports_match_all() {
            return Cidr::parse("127.0.0.0/8");
        }
        // The interface has one address; a range that contains it selects that address.
        let selected = self.node_port_ranges().any(|range| range.contains(Ipv4Addr::LOCALHOST.into()));
        selected.then(|| Cidr::parse("127.0.0.1/32")).flatten()
    }

    fn node_ports_match_all(&self) -> bool {
        self.node_port_ranges().next().is_none() || self.node_port_ranges().any(|range| range.is_zero())
    }
}

/// The settings together with the node's addresses and zone, which every decision reads.
#[derive(Debug)]
pub(super) struct NodeContext {
    config: Config,
    zone: Option<String>,
    /// The addresses of the proxy's family, the primary one first.
    addresses: Vec<IpAddr>,
    /// The addresses that serve node ports, without loopback.
    node_port_addresses: Vec<IpAddr>,
    /// The loopback addresses that serve node ports.
    node_port_loopback: Option<Cidr>,
}

impl NodeContext {
    pub(super) fn new(config: Config, node: Option<&Node>) -> Self {
        let texts = node.into_iter().flat_map(|node| &node.addresses);
        let mut addresses: Vec<IpAddr> = Vec::new();
        for ip in texts.filter_map(|text| parse_ip(text)).filter(|ip| IpFamily::from_ip(*ip) == config.family) {
            if !addresses.contains(&ip) {
                addresses.push(ip);
            }
        }
        let primary_only = config.mode == Mode::Nftables && config.node_port_addresses.is_empty();
        let matches =
            |ip: &IpAddr| config.node_ports_match_all() || config.node_port_ranges().any(|range| range.contains(*ip));
        let matching = addresses.iter().filter(|ip| !ip.is_loopback() && matches(ip)).copied();
        Self {
            node_port_addresses: matching.take(if primary_only { 1 } else { usize::MAX }).collect(),
            node_port_loopback: config.loopback_with_node_ports(),
            addresses,
            zone: node.and_then(|node| node.labels.get(ZONE_LABEL)).cloned(),
            config,
        }
    }

    pub(super) const fn config(&self) -> &Config {
        &self.config
    }

    /// The node's name; empty when it is not set.
    pub(super) fn name(&self) -> &str {
        &self.config.node_name
    }

    pub(super) fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// Classifies the sender of a flow.
    pub(super) fn sender(&self, flow: &Flow<'_>) -> Sender {
        if self.config.detector.is_from_pod(flow) {
            Sender::Pod
        } else if self.is_node_address(flow.source.ip()) {
            Sender::Node
        } else {
            Sender::External
        }
    }

    /// Why traffic to a cluster IP is masqueraded.
    pub(super) fn cluster_ip_masquerade(&self, sender: Sender) -> Masquerade {
        match () {
            () if self.config.masquerade_all => Masquerade::All,
            () if self.config.detector.is_implemented() && sender != Sender::Pod => Masquerade::NotFromPod,
            () => Masquerade::No,
        }
    }

    /// Whether the address is one of the node's, or loopback.
    pub(super) fn is_node_address(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.addresses.contains(&ip)
    }

    pub(super) fn primary_address(&self) -> Option<IpAddr> {
        self.addresses.first().copied()
    }

    /// Whether the address is in a range that cluster IPs are allocated from.
    pub(super) fn is_in_service_range(&self, ip: IpAddr) -> bool {
        self.config.service_cidrs.iter().any(|range| range.contains(ip))
    }

    /// Whether node ports are served at the address.
    pub(super) fn has_node_ports(&self, ip: IpAddr) -> bool {
        self.node_port_addresses.contains(&ip) || self.node_port_loopback.is_some_and(|range| range.contains(ip))
    }

    /// The addresses that serve node ports, without loopback.
    pub(super) fn node_port_addresses(&self) -> &[IpAddr] {
        &self.node_port_addresses
    }

    /// The addresses to listen at for node ports; `127.0.0.1` stands for all of loopback.
    pub(super) fn node_port_listeners(&self) -> impl Iterator<Item = IpAddr> {
        let loopback = self.node_port_loopback.map(|_| IpAddr::V4(Ipv4Addr::LOCALHOST));
        self.node_port_addresses.iter().copied().chain(loopback)
    }
}
