//! The flows that are sent: from every source, to every kind of address of a Service.

use std::net::{Ipv4Addr, SocketAddr};

use discovery_core::policy::{Rng as _, SplitMix64};

use super::{
    network::{Network, Source, TestFlow, node_ip},
    send::masqueraded,
    world::{Kind, Protocol, ProxiedService, World},
};

/// Samples flows for each Service: `each` to addresses that it serves, and a quarter as many to others.
pub(super) fn sample(world: &World, network: &Network, each: usize, rng: &mut SplitMix64) -> Vec<TestFlow> {
    let mut flows = Vec::new();
    for service in &world.services {
        let (mut served, mut others): (Vec<TestFlow>, Vec<TestFlow>) = (Vec::new(), Vec::new());
        for source in senders(service, network) {
            for (is_served, protocol, ip, port) in addresses(service, source) {
                let to = SocketAddr::new(ip.into(), port);
                if is_served { &mut served } else { &mut others }.push(TestFlow { protocol, source, to });
            }
        }
        for (mut from, count) in [(served, each), (others, each / 4)] {
            for _ in 0..count.min(from.len()) {
                flows.push(from.swap_remove(rng.below(from.len())));
            }
        }
    }
    // An unallocated address in the service range.
    let unallocated = SocketAddr::new(Ipv4Addr::new(10, 96, 200, 1).into(), 80);
    let sources = network.sources().into_iter().filter(|source| *source != LOOPBACK);
    flows.extend(
        sources.flat_map(|source| Protocol::BOTH.map(|protocol| TestFlow { protocol, source, to: unallocated })),
    );
    flows
}

/// The sources for a Service: its own pods, but not those of other Services, and all sources that are not endpoints.
fn senders(service: &ProxiedService, network: &Network) -> Vec<Source> {
    let sends = |source: &Source| match source {
        Source::Backend(ip) => service.endpoints.iter().any(|endpoint| endpoint.ip == *ip),
        _ => true,
    };
    network.sources().into_iter().filter(sends).collect()
}

/// Every address and port at which a Service could be reached, and whether it serves there.
fn addresses(service: &ProxiedService, source: Source) -> Vec<(bool, Protocol, Ipv4Addr, u16)> {
    let has_cluster_ip = !matches!(service.kind, Kind::Headless | Kind::ExternalName);
    let has_external_ip = has_cluster_ip && service.external_ip;
    let mut all = Vec::new();
    for (at, port) in service.ports.iter().enumerate() {
        let mut add = |is_served, ip, number| all.push((is_served, port.protocol, ip, number));
        let node_port = service.node_port(at);
        if source == LOOPBACK {
            add(service.has_node_ports(), Ipv4Addr::LOCALHOST, node_port);
            continue;
        }
        add(has_cluster_ip, service.cluster_ip(), port.number);
        add(has_external_ip, service.external(), port.number);
        add(service.kind == Kind::LoadBalancer, service.load_balancer(), port.number);
        add(service.has_node_ports(), node_ip(), node_port);
        // The node's other address, on the links to pods.
        add(service.has_node_ports(), masqueraded(), node_port);
        // A port that is not served, and the other protocol.
        add(false, service.cluster_ip(), 9);
        add(false, service.external(), 9);
        let [tcp, udp] = Protocol::BOTH;
        let other = if port.protocol == tcp { udp } else { tcp };
        all.push((false, other, service.cluster_ip(), port.number));
    }
    all
}

/// The node, sending to itself.
const LOOPBACK: Source = Source::Node(Ipv4Addr::LOCALHOST);
