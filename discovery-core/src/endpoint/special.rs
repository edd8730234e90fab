//! Addresses that are not those of one other machine.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// What is special about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SpecialAddress {
    /// `0.0.0.0` or `::`: a connection to it leads to this machine.
    Unspecified,
    /// `255.255.255.255`.
    Broadcast,
    /// A group that routers do not forward to: 224.0.0.0/24, and ff02 and ff12.
    LinkLocalMulticast,
    /// Any other group: 224.0.0.0/4 or ff00::/8.
    Multicast,
    /// This machine: 127.0.0.0/8 or ::1.
    Loopback,
    /// A machine on the same link: 169.254.0.0/16 or fe80::/10. Clouds serve credentials at 169.254.169.254.
    LinkLocal,
    /// A private network: 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10 or fc00::/7.
    Private,
}

impl SpecialAddress {
    /// Returns what is special about `ip`; `None` for the address of one machine that is reached by routers. An
    /// IPv4-mapped IPv6 address is the IPv4 address.
    #[must_use]
    pub fn of(ip: IpAddr) -> Option<Self> {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::of_v4(ip),
            IpAddr::V6(ip) => Self::of_v6(ip),
        }
    }

    /// Whether no endpoint may have the address, whatever its source: it does not name one machine.
    #[must_use]
    pub const fn is_unusable(self) -> bool {
        matches!(self, Self::Unspecified | Self::Broadcast | Self::LinkLocalMulticast | Self::Multicast)
    }

    fn of_v4(ip: Ipv4Addr) -> Option<Self> {
        let octets = ip.octets();
        match octets {
            _ if ip.is_unspecified() => Some(Self::Unspecified),
            _ if ip.is_broadcast() => Some(Self::Broadcast),
            [224, 0, 0, _] => Some(Self::LinkLocalMulticast),
            _ if ip.is_multicast() => Some(Self::Multicast),
            _ if ip.is_loopback() => Some(Self::Loopback),
            _ if ip.is_link_local() => Some(Self::LinkLocal),
            // RFC 6598: the addresses behind a carrier's translator.
            [100, second, ..] if second & 0xc0 == 64 => Some(Self::Private),
            _ => ip.is_private().then_some(Self::Private),
        }
    }

    fn of_v6(ip: Ipv6Addr) -> Option<Self> {
        match ip.segments() {
            _ if ip.is_unspecified() => Some(Self::Unspecified),
            [0xff02 | 0xff12, ..] => Some(Self::LinkLocalMulticast),
            _ if ip.is_multicast() => Some(Self::Multicast),
            _ if ip.is_loopback() => Some(Self::Loopback),
            _ if ip.is_unicast_link_local() => Some(Self::LinkLocal),
            _ => ip.is_unique_local().then_some(Self::Private),
        }
    }
}

impl fmt::Display for SpecialAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "an unspecified address",
            Self::Broadcast => "a broadcast address",
            Self::LinkLocalMulticast | Self::Multicast => "a multicast address",
            Self::Loopback => "a loopback address",
            Self::LinkLocal => "a link-local address",
            Self::Private => "a private address",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_addresses_that_are_not_those_of_one_other_machine() {
        use SpecialAddress::{Broadcast, LinkLocal, LinkLocalMulticast, Loopback, Multicast, Private, Unspecified};
        for (ip, expected) in [
            ("0.0.0.0", Some(Unspecified)),
            ("::", Some(Unspecified)),
            ("::ffff:0.0.0.0", Some(Unspecified)),
            ("255.255.255.255", Some(Broadcast)),
            ("224.0.0.251", Some(LinkLocalMulticast)),
            ("ff02::fb", Some(LinkLocalMulticast)),
            ("224.0.1.1", Some(Multicast)),
            ("239.255.255.255", Some(Multicast)),
            ("ff0e::1", Some(Multicast)),
            ("127.0.0.1", Some(Loopback)),
            ("127.255.255.255", Some(Loopback)),
            ("::1", Some(Loopback)),
            ("::ffff:127.0.0.1", Some(Loopback)),
            ("169.254.169.254", Some(LinkLocal)),
            ("::ffff:169.254.169.254", Some(LinkLocal)),
            ("fe80::1", Some(LinkLocal)),
            ("10.0.0.1", Some(Private)),
            ("172.31.0.1", Some(Private)),
            ("192.168.0.1", Some(Private)),
            ("100.127.0.1", Some(Private)),
            ("fd00::1", Some(Private)),
            ("172.32.0.1", None),
            ("100.128.0.1", None),
            ("192.0.2.1", None),
            ("240.0.0.1", None),
            ("2001:db8::1", None),
        ] {
            assert_eq!(SpecialAddress::of(ip.parse().expect(ip)), expected, "{ip}");
        }
    }
}
