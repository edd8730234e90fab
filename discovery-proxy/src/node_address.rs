//! The node's addresses, and which of them have node ports.
//!
//! Source: k/k pkg/proxy/util/nodeport_addresses.go (`NewNodePortAddresses`, `GetNodeIPs`, `MatchAll`); test
//! `TestGetNodeIPs`. For loopback: pkg/proxy/iptables/proxier.go (`localhostNodePorts`), nftables/proxier.go and
//! ipvs/proxier.go, which leave it out.
//!
//! * Ranges of the other family do not count; without any of this family, all addresses are meant. A range of
//!   everything makes the others irrelevant.
//! * nftables mode without any range at all: the primary address only.
//! * Loopback: never in nftables and IPVS mode, even if listed; in iptables mode `127.0.0.0/8` unless switched
//!   off, `::1` never. Userspace mode is treated as iptables mode (chosen: its rules redirect what is local).

use std::net::{IpAddr, Ipv4Addr};

use super::{
    Cidr, Config,
    mode::Mode,
    object::{IpFamily, Node},
    parse_ip,
};

/// What the rules need to know of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NodeAddresses {
    /// All of the family, the primary one first.
    pub(super) all: Vec<IpAddr>,
    /// Those that have node ports, each once, without loopback.
    pub(super) with_node_ports: Vec<IpAddr>,
    /// Loopback addresses that have node ports.
    loopback: Option<Cidr>,
}

impl NodeAddresses {
    pub(super) fn new(config: &Config, node: Option<&Node>) -> Self {
        let texts = node.into_iter().flat_map(|node| &node.addresses);
        let mut all: Vec<IpAddr> = Vec::new();
        for ip in texts.filter_map(|text| parse_ip(text)).filter(|ip| IpFamily::from_ip(*ip) == config.family) {
            if !all.contains(&ip) {
                all.push(ip);
            }
        }
        let ranges: Vec<Cidr> =
            config.node_port_addresses.iter().filter(|range| range.family() == config.family).copied().collect();
        let match_all = ranges.is_empty() || ranges.iter().any(Cidr::is_zero);
        let primary_only = config.mode == Mode::Nftables && config.node_port_addresses.is_empty();
        let matches = |ip: &IpAddr| match_all || ranges.iter().any(|range| range.contains(*ip));
        let with_node_ports = all.iter().filter(|ip| !ip.is_loopback() && matches(ip)).copied();
        Self {
            with_node_ports: with_node_ports.take(if primary_only { 1 } else { usize::MAX }).collect(),
            loopback: loopback(config, &ranges, match_all),
            all,
        }
    }

    /// The addresses to listen at for node ports; of loopback, `127.0.0.1`.
    pub(super) fn listened_at(&self) -> impl Iterator<Item = IpAddr> {
        let loopback = self.loopback.map(|_| IpAddr::V4(Ipv4Addr::LOCALHOST));
        self.with_node_ports.iter().copied().chain(loopback)
    }

    /// Whether node ports answer at this address.
    pub(super) fn has_node_ports(&self, ip: IpAddr) -> bool {
        self.with_node_ports.contains(&ip) || self.loopback.is_some_and(|range| range.contains(ip))
    }
}

/// The loopback addresses that have node ports.
fn loopback(config: &Config, ranges: &[Cidr], match_all: bool) -> Option<Cidr> {
    let mode_has = matches!(config.mode, Mode::Iptables(_) | Mode::Userspace) && config.localhost_node_ports;
    if !mode_has || config.family != IpFamily::V4 {
        return None;
    }
    let whole = Cidr::parse("127.0.0.0/8")?;
    if match_all {
        return Some(whole);
    }
    // The interface has one address; a range that holds it selects that address.
    let address = Cidr::parse("127.0.0.1/32")?;
    ranges.iter().any(|range| range.contains(IpAddr::from([127, 0, 0, 1]))).then_some(address)
}
