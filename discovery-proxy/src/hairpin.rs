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

use super::{
    dispatch::Key,
    mode::Mode,
    object::Protocol,
    order::{self, Differences, Side},
    program::PortState,
    table::Table,
};

/// The shared set, with the number of Service ports that need each entry. Empty in the modes that have no set.
#[derive(Clone, Debug, Default)]
pub(super) struct Hairpins {
    counts: Table<Key, u32>,
}

impl Hairpins {
    /// Replaces a port by its successor. Endpoints that stay are left alone.
    pub(super) fn replace(&mut self, mode: &Mode, old: Option<&PortState>, new: Option<&PortState>) {
        let changes = Differences::between(
            old.into_iter().flat_map(|port| members(mode, port)),
            new.into_iter().flat_map(|port| members(mode, port)),
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

/// The endpoints of a port that belong to the set, in order.
fn members<'a>(mode: &Mode, port: &'a PortState) -> impl Iterator<Item = SocketAddr> + use<'a> {
    let of_mode = matches!(mode, Mode::Nftables | Mode::Ipvs(_));
    let local = port.endpoints.iter().filter(move |endpoint| of_mode && endpoint.is_local);
    let in_set = if matches!(mode, Mode::Nftables) { Some(port.usable.reachable()) } else { None };
    let is_any = in_set.is_none();
    let both = order::walk(local.map(|endpoint| endpoint.addr), in_set.into_iter().flatten());
    both.filter(move |(_, side)| is_any || *side == Side::Both).map(|(addr, _)| addr)
}
