//! Parses addresses as kube-proxy does: as Go did before 1.17.
//!
//! Source: k/k pkg/proxy/util (`netutils.ParseIPSloppy`, `ParseCIDRSloppy`), test `TestBadIPs`. Leading zeros are
//! decimal: `172.30.0.041` is `172.30.0.41`, not an error and not an octal number. Addresses are written in canonical form.
//! An IPv4-mapped IPv6 address is the IPv4 address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

/// Parses an IP address with leading zeros; returns `None` if the text is not an address.
///
/// ```
/// # use discovery_proxy::parse_ip;
/// assert_eq!(parse_ip("172.30.0.041"), parse_ip("172.30.0.41"));
/// assert_eq!(parse_ip("172.30.0"), None);
/// ```
#[must_use]
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    // Nearly every text is in the form that the standard library reads, which is faster.
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(ip.to_canonical());
    }
    if !text.contains(':') {
        return parse_v4(text).map(IpAddr::V4);
    }
    let ip = parse_v6(text)?;
    Some(ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4))
}

/// Returns the IPv4 address of an IPv4-mapped IPv6 address, and any other address as it is.
pub(super) const fn canonical(addr: SocketAddr) -> SocketAddr {
    if let SocketAddr::V6(v6) = addr
        && let Some(ip) = v6.ip().to_ipv4_mapped()
    {
        return SocketAddr::V4(SocketAddrV4::new(ip, v6.port()));
    }
    addr
}

fn parse_v4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        *octet = u8::try_from(parse_decimal(parts.next()?)?).ok()?;
    }
    parts.next().is_none().then(|| octets.into())
}

/// The last 32 bits may be written as an IPv4 address, which may have leading zeros too.
fn parse_v6(text: &str) -> Option<Ipv6Addr> {
    match text.rsplit_once(':') {
        Some((head, tail)) if tail.contains('.') => format!("{head}:{}", parse_v4(tail)?).parse().ok(),
        _ => text.parse().ok(),
    }
}

/// Parses a number that consists of digits only, with any number of leading zeros.
pub(super) fn parse_decimal(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}
