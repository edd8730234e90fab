//! Which port of a Service a destination belongs to: one lookup.
//!
//! Source: k/k pkg/proxy/nftables/proxier.go (the maps `service-ips` and `service-nodeports`); iptables walks its rules
//! one by one, to the same end.
//!
//! Where two ports claim the same address, protocol and number, the real modes differ and none promises anything. Here
//! the smallest name has it, and the next takes over when it goes; within one port, its cluster IP comes before
//! external IPs, and those before the load balancer's.

use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use super::{object::Protocol, programmed::Programmed, route::Route, table::Table, verdict::Destination};

/// An address, protocol and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    ip: IpAddr,
    port: u16,
    protocol: Protocol,
}

impl Key {
    pub(super) const fn service(ip: IpAddr, port: u16, protocol: Protocol) -> Self {
        Self { ip, port, protocol }
    }

    /// Node ports are kept below an address that no Service has.
    pub(super) const fn node_port(port: u16, protocol: Protocol) -> Self {
        Self { ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED), port, protocol }
    }

    /// That some Service has this cluster IP is kept in a table of its own, below a number that no port has.
    pub(super) const fn cluster_ip(ip: IpAddr) -> Self {
        Self { ip, port: 0, protocol: Protocol::Tcp }
    }
}

impl Key {
    pub(super) const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The address and number, unless it is that of a port on the nodes.
    pub(super) const fn service_address(&self) -> Option<SocketAddr> {
        if self.ip.is_unspecified() { None } else { Some(SocketAddr::new(self.ip, self.port)) }
    }

    /// The number.
    pub(super) const fn port(&self) -> u16 {
        self.port
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let port = u64::from(self.port) << 8 | self.protocol as u64;
        match self.ip {
            IpAddr::V4(ip) => state.write_u64(u64::from(ip.to_bits()) << 24 | port),
            IpAddr::V6(ip) => {
                state.write_u64((ip.to_bits() >> 64) as u64);
                state.write_u64(ip.to_bits() as u64);
                state.write_u64(port);
            }
        }
    }
}

/// All keys. Copies of the table are what readers look at.
#[derive(Debug, Default)]
pub(super) struct Dispatch {
    pub(super) table: Table<Key, Route>,
    /// Cluster IPs, whatever the port.
    pub(super) cluster_ips: Table<Key, Route>,
    /// Who else claims a key.
    rivals: BTreeMap<Key, Vec<Route>>,
}

impl Dispatch {
    /// Replaces a port by its successor.
    pub(super) fn replace(&mut self, old: Option<&Programmed>, new: Option<Route>) {
        let wanted: Vec<(Key, Destination)> = new.as_ref().map_or_else(Vec::new, |route| keys(&route.port));
        for (key, _) in old.map_or_else(Vec::new, keys) {
            if let Some(old) = old.filter(|_| wanted.iter().all(|(one, _)| *one != key)) {
                self.remove(key, old);
            }
        }
        let Some(route) = new else { return };
        for (key, destination) in wanted {
            self.insert(key, route.clone().for_destination(destination));
        }
    }

    const fn table_of(&mut self, key: Key) -> &mut Table<Key, Route> {
        if key.port == 0 { &mut self.cluster_ips } else { &mut self.table }
    }

    fn insert(&mut self, key: Key, new: Route) {
        if let Some(rivals) = self.rivals.get_mut(&key) {
            rivals.retain(|rival| rival.name() != new.name());
        }
        let loser = match self.table_of(key).get(&key) {
            Some(owner) if owner.name() != new.name() && owner.comes_before(&new) => Some(new),
            _ => {
                let previous = self.table_of(key).insert(key, new.clone());
                previous.filter(|previous| previous.name() != new.name())
            }
        };
        if let Some(loser) = loser {
            self.rivals.entry(key).or_default().push(loser);
        }
    }

    fn remove(&mut self, key: Key, old: &Programmed) {
        if self.table_of(key).get(&key).is_some_and(|owner| *owner.name() == old.name) {
            self.table_of(key).remove(&key);
            let heir = self.rivals.get_mut(&key).and_then(|rivals| {
                rivals.sort_by(|one, other| other.name().cmp(one.name()));
                rivals.pop()
            });
            if let Some(heir) = heir {
                self.table_of(key).insert(key, heir);
            }
        } else if let Some(rivals) = self.rivals.get_mut(&key) {
            rivals.retain(|rival| *rival.name() != old.name);
        }
        if self.rivals.get(&key).is_some_and(Vec::is_empty) {
            self.rivals.remove(&key);
        }
    }
}

/// The keys of a port, each once, the most important meaning first.
fn keys(port: &Programmed) -> Vec<(Key, Destination)> {
    let info = &port.info;
    let of = |ip: &IpAddr| Key::service(*ip, info.port, info.protocol);
    let mut keys = vec![
        (Key::cluster_ip(info.cluster_ip), Destination::ClusterIp),
        (of(&info.cluster_ip), Destination::ClusterIp),
    ];
    let external = info.external_ips.iter().map(|ip| (of(ip), Destination::ExternalIp));
    let load_balancer = info.load_balancer_vips.iter().map(|ip| (of(ip), Destination::LoadBalancer));
    let node_port = Key::node_port(info.node_port, info.protocol);
    let node_port = (info.node_port != 0).then_some((node_port, Destination::NodePort));
    for (key, destination) in external.chain(load_balancer).chain(node_port) {
        if keys.iter().all(|(one, _)| *one != key) {
            keys.push((key, destination));
        }
    }
    keys
}
