//! Sends flows concurrently and reports their outcomes.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{io::AsyncReadExt as _, net::TcpSocket, time::timeout};

use super::{
    network::{Network, TestFlow},
    outcome::Outcome,
    world::Protocol,
};
use crate::harness::GATEWAY;

/// The time limit of a flow that should be answered or refused, however busy the machine is.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The time limit of a flow that should get no answer. Answers take milliseconds, and the second SYN leaves after a
/// second.
pub(super) const SILENCE_LIMIT: Duration = Duration::from_millis(1200);

/// The time after which a datagram is retransmitted, as TCP retransmits a SYN.
const RETRANSMIT: Duration = Duration::from_millis(250);

/// A socket that is bound to the source address of its flow, in the namespaces of the sender.
enum Socket {
    Tcp(TcpSocket),
    Udp(UdpSocket),
}

/// Sends each flow with its time limit. Every flow uses a new source port, so that the kernel has no state for it.
pub(super) async fn send(network: &Network, flows: &[(TestFlow, Duration)]) -> Vec<Outcome> {
    let sockets: Vec<Socket> =
        flows.iter().map(|(flow, _)| socket(network, flow).unwrap_or_else(|error| panic!("{flow}: {error}"))).collect();
    let outcomes = flows.iter().zip(sockets).map(|((flow, limit), socket)| async move {
        match timeout(*limit, exchange(socket, flow.to)).await {
            Ok(Ok(answer)) => Outcome::from_answer(&answer, flow),
            Ok(Err(error)) => Outcome::from_error(&error),
            Err(_) => Outcome::Silent,
        }
    });
    join_all(outcomes).await
}

fn socket(network: &Network, flow: &TestFlow) -> io::Result<Socket> {
    static PORT: AtomicU16 = AtomicU16::new(0);
    // Above the control plane's ports and below the node ports.
    let port = 11_000 + PORT.fetch_add(1, Ordering::Relaxed) % 18_999;
    let from = SocketAddrV4::new(flow.source.ip(), port);
    network.namespaces(flow.source).run_in_network(|| match flow.protocol {
        Protocol::Tcp => {
            let socket = TcpSocket::new_v4()?;
            socket.bind(from.into())?;
            Ok(Socket::Tcp(socket))
        }
        Protocol::Udp => {
            let socket = UdpSocket::bind(from)?;
            socket.set_nonblocking(true)?;
            Ok(Socket::Udp(socket))
        }
    })
}

async fn exchange(socket: Socket, to: SocketAddr) -> io::Result<String> {
    match socket {
        Socket::Tcp(socket) => {
            let mut stream = socket.connect(to).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok(answer)
        }
        Socket::Udp(socket) => {
            let socket = tokio::net::UdpSocket::from_std(socket)?;
            socket.connect(to).await?;
            let mut answer = [0; 64];
            loop {
                match socket.send(b"who are you?").await {
                    // A rule for the node's own output refused or dropped the datagram. `recv` reports a refusal.
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                    sent => drop(sent?),
                }
                if let Ok(received) = timeout(RETRANSMIT, socket.recv(&mut answer)).await {
                    return Ok(String::from_utf8_lossy(&answer[..received?]).into_owned());
                }
            }
        }
    }
}

/// The source address of masqueraded traffic: the node's address on the link to the pod.
pub(super) fn masqueraded() -> Ipv4Addr {
    GATEWAY.parse().unwrap()
}
