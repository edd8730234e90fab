//! Who sends and who answers: pods, a machine of the outside, and the rest of the world.
//!
//! Every pod listens on the same ports, TCP and UDP, and answers with its own address and the source address that it
//! saw. So does "the world", where everything ends up that the node knows no way for, and the node itself on each
//! node port: what kube-proxy leaves alone is *answered*, by one of these two, and so told from what it drops.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    sync::Arc,
};

use tokio::io::AsyncWriteExt as _;

use super::{send::masqueraded, world::Protocol};
use crate::harness::{Cluster, NODE_IP, Namespaces, Neighbor};

/// Where pods listen.
pub(super) const TARGETS: [u16; 2] = [8080, 8081];

/// The addresses of the machine of the outside.
pub(super) const OUTSIDE: [&str; 2] = ["192.0.2.10", "198.51.100.10"];

/// More of its addresses, for what many clients are needed for.
const CROWD: u8 = 240;

/// The address of the world on its link to the node.
const WORLD: &str = "169.254.1.2";
const WORLD_PORT: u16 = 9000;

/// The fleet. What listens does so until the runtime ends.
pub(super) struct Network {
    /// Those that are endpoints.
    pub(super) pods: Vec<Ipv4Addr>,
    senders: Vec<(Source, Namespaces)>,
    /// Many more addresses of the machine of the outside.
    crowd: Vec<(Source, Namespaces)>,
}

/// Who sends, by the address that it sends from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// A pod that is an endpoint of some Services.
    Backend(Ipv4Addr),
    /// A pod that is not.
    Pod(Ipv4Addr),
    /// The node, from its own address or from 127.0.0.1.
    Node(Ipv4Addr),
    /// A machine of the outside.
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
    /// Makes everybody, and lets them listen; the node on each of `node_ports`.
    pub(super) fn new(cluster: &Cluster, node_ports: impl Iterator<Item = u16>) -> io::Result<Self> {
        let node = cluster.node_namespaces();
        // Refusals are ICMP messages, of which a node sends one client only a few in a second.
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
        // It answers from the address that it was asked at.
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

    /// All that can send.
    pub(super) fn sources(&self) -> Vec<Source> {
        self.senders.iter().map(|(source, _)| *source).collect()
    }

    /// Many that can send, all of the outside.
    pub(super) fn crowd(&self) -> Vec<Source> {
        self.crowd.iter().map(|(source, _)| *source).collect()
    }

    /// The namespaces of a sender.
    pub(super) fn namespaces(&self, source: Source) -> &Namespaces {
        let found = self.senders.iter().chain(&self.crowd).find(|(one, _)| *one == source);
        found.map_or_else(|| panic!("{source:?} is nobody"), |(_, namespaces)| namespaces)
    }
}

/// The node's address as the API knows it.
pub(super) fn node_ip() -> Ipv4Addr {
    NODE_IP.parse().unwrap()
}

/// Answers at an address of a namespaces, TCP and UDP, with `who` and the address that asked.
fn listen(namespaces: &Namespaces, at: SocketAddr, who: &str) -> io::Result<()> {
    let (tcp, udp) = namespaces.run_in_network(|| Ok((TcpListener::bind(at)?, UdpSocket::bind(at)?)))?;
    tcp.set_nonblocking(true)?;
    udp.set_nonblocking(true)?;
    // A socket stays in the namespace that it was made in.
    let (tcp, udp) = (tokio::net::TcpListener::from_std(tcp)?, tokio::net::UdpSocket::from_std(udp)?);
    let who: Arc<str> = who.into();
    let name = who.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, from)) = tcp.accept().await {
            let answer = format!("{name} {}", from.ip());
            // A client that is gone does not matter.
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

/// A flow that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sent {
    pub(super) protocol: Protocol,
    pub(super) source: Source,
    pub(super) to: SocketAddr,
}

impl std::fmt::Display for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} from {:?} to {}", self.protocol.as_str(), self.source, self.to)
    }
}
