//! Protocols and address families.

use std::net::IpAddr;

use super::spelling::spelled;

/// The transport protocol of a port. The same number for TCP, UDP and SCTP is three unrelated ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Protocol {
    /// TCP, the protocol of a port that does not name one.
    #[default]
    Tcp,
    /// UDP, the only protocol whose tracked flows kube-proxy ever deletes.
    Udp,
    /// SCTP, which userspace mode does not proxy.
    Sctp,
}

spelled!(Protocol or Tcp: Sctp = "SCTP", Tcp = "TCP", Udp = "UDP");

/// IPv4 or IPv6. A dual-stack node runs one proxy for each family, which share nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum IpFamily {
    /// `IPv4`.
    #[default]
    V4,
    /// `IPv6`.
    V6,
}

impl IpFamily {
    /// Returns the family of an address. An IPv4-mapped IPv6 address is IPv4.
    #[must_use]
    pub const fn from_ip(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

spelled!(IpFamily: V4 = "IPv4", V6 = "IPv6");
