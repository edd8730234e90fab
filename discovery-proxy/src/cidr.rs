//! Address ranges.

use std::{fmt, net::IpAddr};

use super::{
    address::{parse_decimal, parse_ip},
    object::IpFamily,
};

/// An address range: the addresses that share the first `prefix` bits with `network`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// Parses a range such as `10.0.0.0/8`; returns `None` if the text is not a range.
    ///
    /// Leading zeros are ignored, as by [`parse_ip`]: `203.0.113.000/025` is `203.0.113.0/25`. Bits after the prefix
    /// are cleared. A range of IPv4-mapped IPv6 addresses is an IPv4 range: `::ffff:10.0.0.0/104` is `10.0.0.0/8`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (ip, prefix) = text.split_once('/')?;
        let (is_v6, ip) = (ip.contains(':'), parse_ip(ip)?);
        let prefix = u8::try_from(parse_decimal(prefix)?).ok()?;
        let (ip, prefix) = match ip {
            IpAddr::V4(v4) if is_v6 => match prefix.checked_sub(MAPPED) {
                Some(prefix) => (ip, prefix),
                None => (v4.to_ipv6_mapped().into(), prefix),
            },
            _ => (ip, prefix),
        };
        (prefix <= width(ip)).then(|| Self { network: masked(ip, prefix), prefix })
    }

    /// Returns whether the address is in the range. A range never contains addresses of the other family.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        ip.is_ipv4() == self.network.is_ipv4() && masked(ip, self.prefix) == self.network
    }

    /// Returns whether this is `0.0.0.0/0` or `::/0`, which kube-proxy treats as "no restriction" rather than a range.
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        self.prefix == 0
    }

    /// Returns the family of the addresses.
    #[must_use]
    pub const fn family(&self) -> IpFamily {
        IpFamily::from_ip(self.network)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

/// The length of the prefix that all IPv4-mapped IPv6 addresses share (RFC 4291 2.5.5.2).
const MAPPED: u8 = 96;

const fn width(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

fn masked(ip: IpAddr, prefix: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((ip.to_bits() & mask).into())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6((ip.to_bits() & mask).into())
        }
    }
}
