//! What a pod knows of itself: variables, two files, and its routes.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use super::Variables;

/// What the address is found from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    pub(crate) variables: Variables,
    pub(crate) resolv_conf: String,
    pub(crate) hosts: String,
}

impl Environment {
    /// Those of this process. A file that cannot be read says nothing.
    pub(crate) fn from_process() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        Self { variables: Variables::from_process(), resolv_conf: read("/etc/resolv.conf"), hosts: read("/etc/hosts") }
    }
}

/// The address from which `to` is reached: the kernel chooses it when a UDP socket is connected, and sends nothing.
pub(crate) fn route(to: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    Ok(socket.local_addr()?.ip())
}
