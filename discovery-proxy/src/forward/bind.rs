//! Sockets to listen with.

use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    time::Duration,
};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// As long a queue as the system allows: `net.core.somaxconn` cuts it.
const BACKLOG: i32 = 4096;

/// A listener. `shared` lets several of the same address be bound, between which the kernel spreads connections.
///
/// On Linux, what is accepted inherits these options, which saves a call for each connection.
pub(super) fn tcp(local: SocketAddr, shared: bool, keepalive: Option<Duration>) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(local), Type::STREAM, Some(Protocol::TCP))?;
    prepare(&socket, local)?;
    // Connections of an earlier listener that linger in TIME_WAIT are no reason to fail.
    socket.set_reuse_address(cfg!(unix))?;
    #[cfg(unix)]
    socket.set_reuse_port(shared)?;
    #[cfg(not(unix))]
    let _ = shared;
    socket.set_tcp_nodelay(true)?;
    if let Some(time) = keepalive {
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(time).with_interval(time))?;
    }
    socket.bind(&local.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A socket for datagrams of all clients.
pub(super) fn udp(local: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
    prepare(&socket, local)?;
    // Past sockets that have been given up, and past no others.
    give_up_udp(&socket)?;
    socket.bind(&local.into())?;
    #[cfg(target_os = "linux")]
    socket.set_reuse_address(false)?;
    Ok(socket.into())
}

/// Lets another socket have the address of this one, which its tasks are going to close. (Linux asks both sockets
/// whether they share, when the second is bound; socket(7). Elsewhere the second has to wait.)
pub(super) fn give_up_udp<'a>(socket: impl Into<SockRef<'a>>) -> io::Result<()> {
    if cfg!(target_os = "linux") { socket.into().set_reuse_address(true) } else { Ok(()) }
}

/// A socket for datagrams between one client and one endpoint.
pub(super) fn udp_to(endpoint: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(endpoint), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.connect(&endpoint.into())?;
    Ok(socket.into())
}

fn prepare(socket: &Socket, local: SocketAddr) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    if local.is_ipv6() {
        // The families are proxied apart.
        socket.set_only_v6(true)?;
    }
    Ok(())
}
