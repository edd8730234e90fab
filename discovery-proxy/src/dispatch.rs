//! Which Service port a destination belongs to: one lookup.
//!
//! Source: k/k pkg/proxy/nftables/proxier.go (the maps `service-ips` and `service-nodeports`). iptables mode walks its
//! rules one by one, with the same result.
//!
//! When two ports claim the same address, protocol and number, the real modes differ and none of them promises a
//! result. Here a cluster IP wins against an external IP and a load balancer's address, so that no Service can take the
//! traffic to the cluster IP of another one (CVE-2020-8554). Otherwise the smallest name wins, and the next takes over
//! when the winner is deleted. Within one port, the cluster IP comes before external IPs, and external IPs come before
//! the load balancer's addresses.

use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
    net::{IpAddr, Ipv4Addr},
};

use super::{object::Protocol, program::PortState, route::Route, table::Table, verdict::Destination};

/// An address, protocol and port number.
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

    /// The key of a node port, stored under an address that no Service can have.
    const fn node_port(port: u16, protocol: Protocol) -> Self {
        Self { ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED), port, protocol }
    }

    /// The key of a cluster IP whatever the port, stored under a number that no port can have.
    const fn cluster_ip(ip: IpAddr) -> Self {
        Self { ip, port: 0, protocol: Protocol::Tcp }
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

/// The route of every destination. Snapshots read clones of it.
#[derive(Clone, Debug, Default)]
pub(super) struct RouteMap {
    frontends: Table<Key, Route>,
    /// Cluster IPs, whatever the port.
    cluster_ips: Table<Key, Route>,
}

impl RouteMap {
    /// The route of a virtual address.
    pub(super) fn service(&self, ip: IpAddr, port: u16, protocol: Protocol) -> Option<&Route> {
        self.frontends.get(&Key::service(ip, port, protocol))
    }

    /// The route of a node port.
    pub(super) fn node_port(&self, port: u16, protocol: Protocol) -> Option<&Route> {
        self.frontends.get(&Key::node_port(port, protocol))
    }

    /// Whether a Service has this cluster IP, whatever its ports.
    pub(super) fn is_cluster_ip(&self, ip: IpAddr) -> bool {
        self.cluster_ips.get(&Key::cluster_ip(ip)).is_some()
    }

    /// All routes with their protocol, address and number. A node port has no address.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Protocol, Option<IpAddr>, u16, &Route)> {
        self.frontends.iter().map(|(key, route)| {
            let ip = Some(key.ip).filter(|ip| !ip.is_unspecified());
            (key.protocol, ip, key.port, route)
        })
    }

    const fn table(&mut self, key: Key) -> &mut Table<Key, Route> {
        if key.port == 0 { &mut self.cluster_ips } else { &mut self.frontends }
    }
}

/// The routes, and the claims that lost against another port.
#[derive(Debug, Default)]
pub(super) struct Dispatch {
    routes: RouteMap,
    /// The losing claims of each key.
    rivals: BTreeMap<Key, Vec<Route>>,
}

impl Dispatch {
    /// The routes as they are now; cheap to clone.
    pub(super) const fn routes(&self) -> &RouteMap {
        &self.routes
    }

    /// Replaces a port by its successor.
    pub(super) fn replace(&mut self, old: Option<&PortState>, new: Option<Route>) {
        let wanted: Vec<(Key, Destination)> = new.as_ref().map_or_else(Vec::new, |route| keys(&route.port));
        for claim in old.map_or_else(Vec::new, keys) {
            // A claim of another kind has another rank.
            if let Some(old) = old.filter(|_| !wanted.contains(&claim)) {
                self.remove(claim.0, old);
            }
        }
        let Some(route) = new else { return };
        for (key, destination) in wanted {
            self.insert(key, route.clone().for_destination(destination));
        }
    }

    fn insert(&mut self, key: Key, new: Route) {
        if let Some(rivals) = self.rivals.get_mut(&key) {
            rivals.retain(|rival| rival.port.name != new.port.name);
        }
        let table = self.routes.table(key);
        let loser = match table.get(&key) {
            Some(owner) if owner.port.name != new.port.name && owner.comes_before(&new) => Some(new),
            _ => {
                let previous = table.insert(key, new.clone());
                previous.filter(|previous| previous.port.name != new.port.name)
            }
        };
        if let Some(loser) = loser {
            self.rivals.entry(key).or_default().push(loser);
        }
    }

    fn remove(&mut self, key: Key, old: &PortState) {
        let table = self.routes.table(key);
        if table.get(&key).is_some_and(|owner| owner.port.name == old.name) {
            table.remove(&key);
            let heir = self.rivals.get_mut(&key).and_then(|rivals| {
                rivals.sort_by(|one, other| other.rank().cmp(&one.rank()));
                rivals.pop()
            });
            if let Some(heir) = heir {
                table.insert(key, heir);
            }
        } else if let Some(rivals) = self.rivals.get_mut(&key) {
            rivals.retain(|rival| rival.port.name != old.name);
        }
        if self.rivals.get(&key).is_some_and(Vec::is_empty) {
            self.rivals.remove(&key);
        }
    }
}

/// The keys of a port, each once, the most important meaning first.
fn keys(port: &PortState) -> Vec<(Key, Destination)> {
    let info = &port.info;
    let key = |ip: &IpAddr| Key::service(*ip, info.port, info.protocol);
    let mut keys = vec![
        (Key::cluster_ip(info.cluster_ip), Destination::ClusterIp),
        (key(&info.cluster_ip), Destination::ClusterIp),
    ];
    let external = info.external_ips.iter().map(|ip| (key(ip), Destination::ExternalIp));
    let load_balancer = info.load_balancer_vips.iter().map(|ip| (key(ip), Destination::LoadBalancer));
    let node_port = Key::node_port(info.node_port, info.protocol);
    let node_port = (info.node_port != 0).then_some((node_port, Destination::NodePort));
    for (key, destination) in external.chain(load_balancer).chain(node_port) {
        if keys.iter().all(|(one, _)| *one != key) {
            keys.push((key, destination));
        }
    }
    keys
}
