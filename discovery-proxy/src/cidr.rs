//! Ranges of addresses.

use std::{fmt, net::IpAddr};

use super::{
    address::{parse_decimal, parse_ip},
    object::IpFamily,
};

/// A range of addresses: those that share the first `prefix` bits with `network`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// Reads `10.0.0.0/8` as [`parse_ip`] reads addresses: `203.0.113.000/025` is `203.0.113.0/25`. Bits behind the
    /// prefix are cleared.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (ip, prefix) = text.split_once('/')?;
        let ip = parse_ip(ip)?;
        let prefix = u8::try_from(parse_decimal(prefix)?).ok()?;
        (prefix <= width(ip)).then(|| Self { network: masked(ip, prefix), prefix })
    }

    /// Whether the address is in the range. Families never match each other.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        ip.is_ipv4() == self.network.is_ipv4() && masked(ip, self.prefix) == self.network
    }

    /// Whether it is `0.0.0.0/0` or `::/0`, which kube-proxy treats as "no restriction" rather than as a range.
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        self.prefix == 0
    }

    /// The family of its addresses.
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
