//! The syntax of a nameserver.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
};

/// The port of DNS (RFC 1035 section 4.2).
const DNS_PORT: u16 = 53;

/// The nameservers of a `resolv.conf` without a `nameserver` line (resolv.conf(5): "the default is to use the name server
/// on the local machine").
pub(super) const THIS_MACHINE: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), DNS_PORT),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), DNS_PORT),
];

/// Returns the index of the interface with this name.
pub(crate) type Interfaces<'a> = &'a dyn Fn(&str) -> Option<u32>;

/// Parses `ip`, `ip:port`, `v6%zone`, `[v6]` or `[v6]:port`; the zone is an index or the name of an interface (RFC 4007
/// section 11). `Err` is the rule that `text` breaks.
pub(super) fn nameserver(text: &str, interfaces: Interfaces<'_>) -> Result<SocketAddr, &'static str> {
    let (text, zone) = without_zone(text)?;
    let addr = address(&text)?;
    match (zone, addr) {
        (None, _) => Ok(canonical(addr)),
        (Some(zone), SocketAddr::V6(v6)) => {
            let index = zone.parse().ok().or_else(|| interfaces(zone)).ok_or(NO_INTERFACE)?;
            Ok(SocketAddrV6::new(*v6.ip(), v6.port(), 0, index).into())
        }
        (Some(_), SocketAddr::V4(_)) => Err(NOT_AN_ADDRESS),
    }
}

/// An IPv4-mapped IPv6 address is the IPv4 address. The zone of any other address stays.
pub(super) fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, addr.port()),
        IpAddr::V6(_) => addr,
    }
}

/// Splits `%zone` off, which ends with the text or at the closing bracket.
fn without_zone(text: &str) -> Result<(Cow<'_, str>, Option<&str>), &'static str> {
    let Some((ip, rest)) = text.split_once('%') else { return Ok((text.into(), None)) };
    let (zone, end) =
        if ip.starts_with('[') { rest.split_at(rest.find(']').ok_or(NOT_AN_ADDRESS)?) } else { (rest, "") };
    if zone.is_empty() {
        return Err("the zone after `%` is empty");
    }
    Ok((format!("{ip}{end}").into(), Some(zone)))
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    if let Ok(addr) = text.parse::<SocketAddr>() {
        return if addr.port() == 0 { Err("a port must be 1 to 65535") } else { Ok(addr) };
    }
    let bare = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(text);
    match bare.parse::<IpAddr>() {
        Ok(ip) if ip.is_ipv6() || bare == text => Ok(SocketAddr::new(ip, DNS_PORT)),
        _ => Err(NOT_AN_ADDRESS),
    }
}

const NOT_AN_ADDRESS: &str = "a nameserver must be an IP address, `ip:port` or `[v6]:port`";

const NO_INTERFACE: &str = "the zone of an IPv6 address must be an interface of this machine, by its name or index";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_addresses_with_and_without_a_port() {
        let interfaces = |name: &str| (name == "eth0").then_some(7);
        for (text, addr) in [
            ("10.96.0.10", "10.96.0.10:53"),
            ("10.96.0.10:5353", "10.96.0.10:5353"),
            ("fd00::a", "[fd00::a]:53"),
            ("[fd00::a]", "[fd00::a]:53"),
            ("[fd00::a]:5353", "[fd00::a]:5353"),
            ("fe80::1%2", "[fe80::1%2]:53"),
            ("[fe80::1%2]:54", "[fe80::1%2]:54"),
            ("fe80::1%eth0", "[fe80::1%7]:53"),
            ("[fe80::1%eth0]", "[fe80::1%7]:53"),
            ("[fe80::1%eth0]:54", "[fe80::1%7]:54"),
            ("::ffff:10.96.0.10", "10.96.0.10:53"),
            ("[::ffff:10.96.0.10]:5353", "10.96.0.10:5353"),
        ] {
            assert_eq!(nameserver(text, &interfaces).expect(text).to_string(), addr, "{text}");
        }
        for bad in ["", "dns", "10.96.0", "10.96.0.10:0", "10.96.0.10.53", "[10.0.0.1]", "1.2.3.4%1"] {
            assert!(nameserver(bad, &interfaces).is_err(), "{bad}");
        }
        for bad in ["fe80::1%", "[fe80::1%]:53", "fe80::1%eth1", "[fe80::1%eth0", "1.2.3.4%eth0", "fe80::1%eth0]:53"] {
            assert!(nameserver(bad, &interfaces).is_err(), "{bad}");
        }
    }
}
