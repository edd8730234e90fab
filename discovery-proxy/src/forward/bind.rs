//! Creates the sockets of the forwarder.

use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    time::Duration,
};

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// The length of the accept queue, which `net.core.somaxconn` limits.
const BACKLOG: i32 = 4096;

/// Creates a TCP listener. With `shared`, several listeners can bind the same address, and the kernel spreads
/// connections between them.
///
/// On Linux, accepted connections inherit these options, which saves a system call for each.
pub(super) fn tcp(local: SocketAddr, shared: bool, keepalive: Option<Duration>) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(local), Type::STREAM, Some(Protocol::TCP))?;
    prepare(&socket, local)?;
    // Connections of an earlier listener in TIME_WAIT must not prevent binding.
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

/// Creates the socket that receives the datagrams of all clients.
pub(super) fn udp(local: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
    prepare(&socket, local)?;
    // Binds despite sockets that have been released, but not despite others.
    release_udp(&socket)?;
    socket.bind(&local.into())?;
    #[cfg(target_os = "linux")]
    socket.set_reuse_address(false)?;
    Ok(socket.into())
}

/// Lets another socket bind the address of this one, which its tasks are about to close.
///
/// Linux checks whether both sockets share the address when the second one is bound; socket(7). On other systems the
/// second one can bind only after the first is closed.
pub(super) fn release_udp<'a>(socket: impl Into<SockRef<'a>>) -> io::Result<()> {
    if cfg!(target_os = "linux") { socket.into().set_reuse_address(true) } else { Ok(()) }
}

/// Creates the socket for datagrams between one client and one endpoint.
pub(super) fn udp_to(endpoint: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(endpoint), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.connect(&endpoint.into())?;
    Ok(socket.into())
}

fn prepare(socket: &Socket, local: SocketAddr) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    if local.is_ipv6() {
        // Each family has its own proxy.
        socket.set_only_v6(true)?;
    }
    Ok(())
}
