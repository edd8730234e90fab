//! Which endpoints are masqueraded when they reach themselves through a Service.
//!
//! Source: k/k 1.36 pkg/proxy/iptables/proxier.go (a rule in each endpoint's chain), nftables/proxier.go (the set
//! `hairpin-connections`) and ipvs/proxier.go (the set `KUBE-LOOP-BACK`). Seen with kube-proxy 1.36.3: a pod whose
//! EndpointSlice names no node, as many that are written by hand do, reaches itself in iptables mode, and is left with
//! its own packets, which it drops, in nftables mode.
//!
//! * iptables: every endpoint.
//! * nftables and IPVS: those that the slice says are on this node. There is one set for all Services: an endpoint
//!   that is local for one port of a Service is so for all that have the same address, number and protocol. IPVS lists
//!   unusable ones too.

use std::net::SocketAddr;

use super::{dispatch::Key, mode::Mode, object::Protocol, programmed::Programmed, table::Table};

/// The set, and how many ports of Services want each entry. Empty in the modes that have none.
#[derive(Clone, Debug, Default)]
pub(super) struct Hairpins {
    counts: Table<Key, u32>,
}

impl Hairpins {
    /// Replaces a port by its successor.
    pub(super) fn replace(&mut self, mode: &Mode, old: Option<&Programmed>, new: Option<&Programmed>) {
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

fn keys(mode: &Mode, port: &Programmed) -> impl Iterator<Item = Key> {
    let (usable, protocol) = (&port.usable, port.info.protocol);
    let is_reachable = |addr: &SocketAddr| usable.cluster.contains(addr) || usable.local.contains(addr);
    let is_in = move |addr: &SocketAddr| match mode {
        Mode::Nftables => is_reachable(addr),
        Mode::Ipvs(_) => true,
        Mode::Iptables(_) | Mode::Userspace => false,
    };
    let local = port.endpoints.iter().filter(|endpoint| endpoint.is_local).map(|endpoint| endpoint.addr);
    local.filter(is_in).map(move |addr| Key::service(addr.ip(), addr.port(), protocol))
}
