//! The address families that this machine can reach.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::plan::Families;

/// Addresses reserved for documentation (RFC 5737, RFC 3849). The routing table has a route for them as for any other
/// address, and nothing is sent to them.
const V4_PROBE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 53);
const V6_PROBE: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 53);

/// Returns the families that have a route, or both if neither has one (a machine with only a loopback interface).
///
/// Connecting a UDP socket looks up the route and sends no packet.
pub(crate) fn families() -> Families {
    match (has_route(V4_PROBE), has_route(V6_PROBE)) {
        (true, false) => Families::V4,
        (false, true) => Families::V6,
        _ => Families::Both,
    }
}

fn has_route(to: SocketAddr) -> bool {
    let any: SocketAddr =
        if to.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    UdpSocket::bind(any).and_then(|socket| socket.connect(to)).is_ok()
}
