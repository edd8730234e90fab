//! IP addresses as Kubernetes parses them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Parses an IP address as Kubernetes does: an IPv4 octet with leading zeros is decimal, so `172.30.0.041` means
/// `172.30.0.41` (k8s.io/utils/net `ParseIPSloppy`). Objects in old clusters contain such addresses.
/// An IPv4-mapped IPv6 address is the IPv4 address.
#[must_use]
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    let Some((head, tail)) = text.rsplit_once(':') else {
        return parse_ipv4_with_leading_zeros(text).map(IpAddr::V4);
    };
    // The last 32 bits may be written as an IPv4 address.
    let ip: Ipv6Addr = match parse_ipv4_with_leading_zeros(tail) {
        Some(v4) => format!("{head}:{v4}").parse().ok()?,
        None => text.parse().ok()?,
    };
    Some(IpAddr::V6(ip).to_canonical())
}

fn parse_ipv4_with_leading_zeros(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0_u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next().filter(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))?;
        *octet = part.parse().ok()?;
    }
    parts.next().is_none().then(|| octets.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// kubernetes/kubernetes pkg/proxy/iptables/proxier_test.go `TestBadIPs`.
    #[test]
    fn treats_leading_zeros_as_decimal() {
        let ip = |text: &str| parse_ip(text).map(|ip| ip.to_string());
        assert_eq!(ip("172.30.0.041").as_deref(), Some("172.30.0.41"));
        assert_eq!(ip("203.0.113.000").as_deref(), Some("203.0.113.0"));
        assert_eq!(ip("fd00::7").as_deref(), Some("fd00::7"));
        assert_eq!(ip("::ffff:10.0.0.1").as_deref(), Some("10.0.0.1"));
        assert_eq!(ip("::ffff:172.30.0.041").as_deref(), Some("172.30.0.41"), "IPv4 within IPv6 too");
        assert_eq!(ip("fd00::10.0.0.010").as_deref(), Some("fd00::a00:a"));
        for bad in [
            "::1.2.3",
            "1.2.3.4::",
            "::1.2.3.4:5",
            "",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.256",
            "1.2.3.+4",
            "1..2.3",
            "example.com",
        ] {
            assert_eq!(ip(bad), None, "{bad:?}");
        }
    }
}
