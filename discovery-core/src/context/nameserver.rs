//! The syntax of a nameserver.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// The port of DNS (RFC 1035 section 4.2).
const DNS_PORT: u16 = 53;

/// Parses `ip`, `ip:port`, `v6%zone`, `[v6]` or `[v6]:port`, with a numeric zone. `Err` is the rule that `text` breaks.
pub(super) fn nameserver(text: &str) -> Result<SocketAddr, &'static str> {
    if let Ok(addr) = text.parse::<SocketAddr>() {
        return if addr.port() == 0 { Err("a port must be 1 to 65535") } else { Ok(addr) };
    }
    let bare = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return if ip.is_ipv4() && bare != text { Err(NOT_AN_ADDRESS) } else { Ok(SocketAddr::new(ip, DNS_PORT)) };
    }
    let Some((ip, zone)) = bare.split_once('%') else { return Err(NOT_AN_ADDRESS) };
    let Ok(ip) = ip.parse::<Ipv6Addr>() else { return Err(NOT_AN_ADDRESS) };
    let Ok(zone) = zone.parse::<u32>() else {
        return Err("the zone of an IPv6 address must be a number, the index of the interface");
    };
    Ok(SocketAddrV6::new(ip, DNS_PORT, 0, zone).into())
}

const NOT_AN_ADDRESS: &str = "a nameserver must be an IP address, `ip:port` or `[v6]:port`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_addresses_with_and_without_a_port() {
        for (text, addr) in [
            ("10.96.0.10", "10.96.0.10:53"),
            ("10.96.0.10:5353", "10.96.0.10:5353"),
            ("fd00::a", "[fd00::a]:53"),
            ("[fd00::a]", "[fd00::a]:53"),
            ("[fd00::a]:5353", "[fd00::a]:5353"),
            ("fe80::1%2", "[fe80::1%2]:53"),
            ("[fe80::1%2]:54", "[fe80::1%2]:54"),
        ] {
            assert_eq!(nameserver(text).expect(text).to_string(), addr, "{text}");
        }
        for bad in ["", "dns", "10.96.0", "10.96.0.10:0", "10.96.0.10.53", "[10.0.0.1]", "fe80::1%eth0", "1.2.3.4%1"] {
            assert!(nameserver(bad).is_err(), "{bad}");
        }
    }
}
