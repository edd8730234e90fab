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

use super::{dispatch::Key, mode::Mode, object::Protocol, order::Differences, program::PortState, table::Table};

/// The shared set, with the number of Service ports that need each entry. Empty in the modes that have no set.
#[derive(Clone, Debug, Default)]
pub(super) struct Hairpins {
    counts: Table<Key, u32>,
}

impl Hairpins {
    /// Replaces a port by its successor. Endpoints that stay are left alone.
    pub(super) fn replace(&mut self, mode: &Mode, old: Option<&PortState>, new: Option<&PortState>) {
        if matches!(mode, Mode::Iptables(_) | Mode::Userspace) {
            return;
        }
        let of_any = matches!(mode, Mode::Ipvs(_));
        let changes = Differences::between(
            old.into_iter().flat_map(|port| members(of_any, port)),
            new.into_iter().flat_map(|port| members(of_any, port)),
        );
        let key = |port: Option<&PortState>, addr: SocketAddr| {
            port.map(|port| Key::service(addr.ip(), addr.port(), port.info.protocol))
        };
        for key in changes.removed.into_iter().filter_map(|addr| key(old, addr)) {
            match self.counts.get(&key) {
                Some(count) if *count > 1 => drop(self.counts.insert(key, count - 1)),
                _ => drop(self.counts.remove(&key)),
            }
        }
        for key in changes.added.into_iter().filter_map(|addr| key(new, addr)) {
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

/// The endpoints of a port that belong to the set, in order: those on this node, of any condition or usable.
fn members(of_any: bool, port: &PortState) -> impl Iterator<Item = SocketAddr> {
    let (mut cluster, mut local) = (port.usable.cluster.iter().peekable(), port.usable.local.iter().peekable());
    let members = port.endpoints.iter().filter(move |endpoint| {
        // Both sets are in the order of the endpoints.
        let in_cluster = cluster.next_if_eq(&&endpoint.addr).is_some();
        let in_local = local.next_if_eq(&&endpoint.addr).is_some();
        endpoint.is_local && (of_any || in_cluster || in_local)
    });
    members.map(|endpoint| endpoint.addr)
}
