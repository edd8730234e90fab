//! Which endpoints are masqueraded when they reach themselves through a Service.
//!
//! Source: k/k 1.36 pkg/proxy/iptables/proxier.go (a rule in each endpoint's chain), nftables/proxier.go (the set
//! `hairpin-connections`) and ipvs/proxier.go (the set `KUBE-LOOP-BACK`). Observed with kube-proxy 1.36.3: a pod whose
//! EndpointSlice names no node (common in slices written by hand) reaches itself in iptables mode. In nftables mode
//! its packets come back unmasqueraded, and it drops them.
//!
//! * iptables mode masquerades every endpoint.
//! * nftables and IPVS mode masquerade the endpoints that a slice places on this node. All Services share one set: an
//!   endpoint that is local for one Service port is local for every port with the same address, number and protocol.
//!   IPVS mode also includes unusable endpoints.

use std::net::SocketAddr;

use super::{dispatch::Key, mode::Mode, object::Protocol, program::PortState, table::Table};

/// The shared set, with the number of Service ports that need each entry. Empty in the modes that have no set.
#[derive(Clone, Debug, Default)]
pub(super) struct Hairpins {
    counts: Table<Key, u32>,
}

impl Hairpins {
    /// Replaces a port by its successor.
    pub(super) fn replace(&mut self, mode: &Mode, old: Option<&PortState>, new: Option<&PortState>) {
        for key in old.into_iter().flat_map(|port| keys(mode, port)) {
            match self.counts.get(&key) {
                Some(count) if *count > 1 => drop(self.counts.insert(key, count - 1)),
                _ => drop(self.counts.remove(&key)),
            }
        }
        for key in new.into_iter().flat_map(|port| keys(mode, port)) {
            let count = self.counts.get(&key).copied().unwrap_or(0);
            self.counts.insert(key, count + 1);
        }
    }

    /// Whether an endpoint that reaches itself is masqueraded.
    pub(super) fn has(&self, mode: &Mode, endpoint: SocketAddr, protocol: Protocol) -> bool {
        match mode {
            Mode::Nftables | Mode::Ipvs(_) => {
                self.counts.get(&Key::service(endpoint.ip(), endpoint.port(), protocol)).is_some()
            }
            Mode::Iptables(_) | Mode::Userspace => true,
        }
    }
}

fn keys(mode: &Mode, port: &PortState) -> impl Iterator<Item = Key> {
    let (usable, protocol) = (&port.usable, port.info.protocol);
    let is_reachable = |addr: &SocketAddr| usable.cluster.contains(addr) || usable.local.contains(addr);
    let is_in_set = move |addr: &SocketAddr| match mode {
        Mode::Nftables => is_reachable(addr),
        Mode::Ipvs(_) => true,
        Mode::Iptables(_) | Mode::Userspace => false,
    };
    let local = port.endpoints.iter().filter(|endpoint| endpoint.is_local).map(|endpoint| endpoint.addr);
    local.filter(is_in_set).map(move |addr| Key::service(addr.ip(), addr.port(), protocol))
}
