//! Sends flows, all at the same time, and tells what became of each.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{io::AsyncReadExt as _, net::TcpSocket, time::timeout};

use super::{
    network::{Network, Sent},
    outcome::Outcome,
    world::Protocol,
};
use crate::harness::GATEWAY;

/// A flow that ought to be answered or refused has so long, however busy the machine is.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A flow that ought to be met with silence has so long to be answered after all. Answers take milliseconds; the second
/// SYN leaves after a second.
pub(super) const SILENCE: Duration = Duration::from_millis(1200);

/// A datagram is sent again as often, like the SYN of a connection.
const AGAIN: Duration = Duration::from_millis(250);

/// A socket that was made and bound where its flow comes from.
enum Socket {
    Tcp(TcpSocket),
    Udp(UdpSocket),
}

/// Sends each flow, from a port that none has had before: the kernel knows nothing of it. With each goes how long it
/// has.
pub(super) async fn send(network: &Network, flows: &[(Sent, Duration)]) -> Vec<Outcome> {
    let sockets: Vec<Socket> =
        flows.iter().map(|(flow, _)| socket(network, flow).unwrap_or_else(|error| panic!("{flow}: {error}"))).collect();
    let outcomes = flows.iter().zip(sockets).map(|((flow, patience), socket)| async move {
        match timeout(*patience, exchange(socket, flow.to)).await {
            Ok(Ok(answer)) => Outcome::of_answer(&answer, flow),
            Ok(Err(error)) => Outcome::of_error(&error),
            Err(_) => Outcome::Silent,
        }
    });
    join_all(outcomes).await
}

fn socket(network: &Network, flow: &Sent) -> io::Result<Socket> {
    static PORT: AtomicU16 = AtomicU16::new(0);
    // Above what the control plane listens on, below the node ports.
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
                    // What a rule of the node's own output refuses or drops. If it is refused, `recv` says so.
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                    sent => drop(sent?),
                }
                if let Ok(received) = timeout(AGAIN, socket.recv(&mut answer)).await {
                    return Ok(String::from_utf8_lossy(&answer[..received?]).into_owned());
                }
            }
        }
    }
}

/// The address that masqueraded traffic comes from: that of the link to the pod.
pub(super) fn masqueraded() -> Ipv4Addr {
    GATEWAY.parse().unwrap()
}
