//! The machines that send and answer: pods, an outside machine, and "the world".
//!
//! Every pod listens on the same ports, TCP and UDP, and answers with its own address and the source address that it
//! saw. So does the world, which receives all traffic that the node has no route for, and so does the node itself on
//! each node port. Traffic that kube-proxy leaves alone is therefore *answered* by one of these two, which
//! distinguishes it from traffic that kube-proxy drops.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    sync::Arc,
};

use tokio::io::AsyncWriteExt as _;

use super::{send::masqueraded, world::Protocol};
use crate::harness::{Cluster, NODE_IP, Namespaces, Neighbor};

/// The ports on which pods listen.
pub(super) const TARGETS: [u16; 2] = [8080, 8081];

/// The addresses of the outside machine.
pub(super) const OUTSIDE: [&str; 2] = ["192.0.2.10", "198.51.100.10"];

/// The number of its other addresses, for tests that need many clients.
const CROWD: u8 = 240;

/// The address of the world on its link to the node.
const WORLD: &str = "169.254.1.2";
const WORLD_PORT: u16 = 9000;

/// All machines. They listen until the runtime stops.
pub(super) struct Network {
    /// The pods that are endpoints.
    pub(super) pods: Vec<Ipv4Addr>,
    senders: Vec<(Source, Namespaces)>,
    /// The many other addresses of the outside machine.
    crowd: Vec<(Source, Namespaces)>,
}

/// A sender, with its source address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// A pod that is an endpoint of some Services.
    Backend(Ipv4Addr),
    /// A pod that is not an endpoint.
    Pod(Ipv4Addr),
    /// The node, with its own address or 127.0.0.1.
    Node(Ipv4Addr),
    /// A machine outside of the cluster.
    Outside(Ipv4Addr),
}

impl Source {
    pub(super) const fn ip(self) -> Ipv4Addr {
        match self {
            Self::Backend(ip) | Self::Pod(ip) | Self::Node(ip) | Self::Outside(ip) => ip,
        }
    }
}

impl Network {
    /// Creates all machines and starts their listeners; the node listens on each of `node_ports`.
    pub(super) fn new(cluster: &Cluster, node_ports: impl Iterator<Item = u16>) -> io::Result<Self> {
        let node = cluster.node_namespaces();
        // Refusals are ICMP messages, which a node by default sends to a client only a few times a second.
        node.run(|| std::fs::write("/proc/sys/net/ipv4/icmp_ratelimit", "0"))?;
        let v4 = |neighbor: &Neighbor| -> Vec<Ipv4Addr> {
            neighbor.ips.iter().filter_map(|ip| if let IpAddr::V4(ip) = ip { Some(*ip) } else { None }).collect()
        };
        let mut network = Self { pods: Vec::new(), senders: Vec::new(), crowd: Vec::new() };
        for at in 0..6 {
            let pod = cluster.bare_pod(&format!("backend-{at}"));
            let ip = v4(&pod)[0];
            for port in TARGETS {
                listen(
                    &pod.namespaces,
                    SocketAddr::new(ip.into(), port),
                    &SocketAddr::new(ip.into(), port).to_string(),
                )?;
            }
            network.pods.push(ip);
            network.senders.push((Source::Backend(ip), pod.namespaces));
        }
        let client = cluster.bare_pod("client");
        network.senders.push((Source::Pod(v4(&client)[0]), client.namespaces));
        let crowd: Vec<String> = (1..=CROWD).map(|last| format!("203.0.112.{last}")).collect();
        let addresses: Vec<&str> = OUTSIDE.into_iter().chain(crowd.iter().map(String::as_str)).collect();
        let outside = cluster.outside_machine("out0", &addresses);
        network.senders.extend(v4(&outside).into_iter().map(|ip| (Source::Outside(ip), outside.namespaces.clone())));
        network.crowd = network.senders.split_off(network.senders.len() - usize::from(CROWD));
        let world = cluster.outside_machine("world0", &[WORLD]);
        cluster.everything_else_goes_to("world0", &world, WORLD_PORT);
        // The world accepts any destination address and answers from it.
        let at: IpAddr = v4(&world)[0].into();
        listen(&world.namespaces, (at, WORLD_PORT).into(), "world")?;
        for port in node_ports {
            for ip in [node_ip(), masqueraded(), Ipv4Addr::LOCALHOST] {
                listen(&node, (ip, port).into(), "node")?;
            }
        }
        for ip in [node_ip(), Ipv4Addr::LOCALHOST] {
            network.senders.push((Source::Node(ip), node.clone()));
        }
        Ok(network)
    }

    /// All senders except the crowd.
    pub(super) fn sources(&self) -> Vec<Source> {
        self.senders.iter().map(|(source, _)| *source).collect()
    }

    /// Many senders outside of the cluster.
    pub(super) fn crowd(&self) -> Vec<Source> {
        self.crowd.iter().map(|(source, _)| *source).collect()
    }

    /// The namespaces of a sender.
    pub(super) fn namespaces(&self, source: Source) -> &Namespaces {
        let found = self.senders.iter().chain(&self.crowd).find(|(one, _)| *one == source);
        found.map_or_else(|| panic!("{source:?} is not a machine of this network"), |(_, namespaces)| namespaces)
    }
}

/// The node's address as the API knows it.
pub(super) fn node_ip() -> Ipv4Addr {
    NODE_IP.parse().unwrap()
}

/// Answers at an address, over TCP and UDP, with `who` and the address that asked.
fn listen(namespaces: &Namespaces, at: SocketAddr, who: &str) -> io::Result<()> {
    let (tcp, udp) = namespaces.run_in_network(|| Ok((TcpListener::bind(at)?, UdpSocket::bind(at)?)))?;
    tcp.set_nonblocking(true)?;
    udp.set_nonblocking(true)?;
    // A socket stays in the namespace in which it was created.
    let (tcp, udp) = (tokio::net::TcpListener::from_std(tcp)?, tokio::net::UdpSocket::from_std(udp)?);
    let who: Arc<str> = who.into();
    let name = who.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, from)) = tcp.accept().await {
            let answer = format!("{name} {}", from.ip());
            // An error means that the client is gone, which does not matter.
            tokio::spawn(async move { stream.write_all(answer.as_bytes()).await });
        }
    });
    tokio::spawn(async move {
        let mut question = [0; 64];
        while let Ok((_, from)) = udp.recv_from(&mut question).await {
            udp.send_to(format!("{who} {}", from.ip()).as_bytes(), from).await.ok();
        }
    });
    Ok(())
}

/// A flow that a test sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TestFlow {
    pub(super) protocol: Protocol,
    pub(super) source: Source,
    pub(super) to: SocketAddr,
}

impl std::fmt::Display for TestFlow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} from {:?} to {}", self.protocol.as_str(), self.source, self.to)
    }
}
