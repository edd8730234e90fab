//! Address families.

use std::{fmt, net::IpAddr};

/// The address families that this process can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Families {
    /// IPv4 only, without AAAA queries.
    V4,
    /// IPv6 only, without A queries.
    V6,
    /// Both.
    Both,
}

impl Families {
    /// Whether IPv4 addresses are reachable.
    #[must_use]
    pub fn v4(self) -> bool {
        matches!(self, Self::V4 | Self::Both)
    }

    /// Whether IPv6 addresses are reachable.
    #[must_use]
    pub fn v6(self) -> bool {
        matches!(self, Self::V6 | Self::Both)
    }

    /// Returns the families of the addresses of a pod, separated by commas, as the downward API writes `status.podIPs`.
    /// `None` for any other text.
    pub(crate) fn from_pod_ips(text: &str) -> Option<Self> {
        let mut families = (false, false);
        for ip in text.split(',') {
            match ip.trim().parse::<IpAddr>().ok()?.to_canonical() {
                IpAddr::V4(_) => families.0 = true,
                IpAddr::V6(_) => families.1 = true,
            }
        }
        match families {
            (true, true) => Some(Self::Both),
            (true, false) => Some(Self::V4),
            (false, true) => Some(Self::V6),
            (false, false) => None,
        }
    }
}

impl fmt::Display for Families {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
            Self::Both => "both",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_come_from_pod_ips() {
        for (text, families) in [
            ("10.244.1.7", Some(Families::V4)),
            ("fd00::7", Some(Families::V6)),
            ("::ffff:10.244.1.7", Some(Families::V4)),
            ("10.244.1.7,fd00::7", Some(Families::Both)),
            (" fd00::7 , 10.244.1.7 ", Some(Families::Both)),
            ("", None),
            ("10.244.1.7,", None),
            ("pod", None),
        ] {
            assert_eq!(Families::from_pod_ips(text), families, "{text:?}");
        }
        assert!(Families::Both.v4() && Families::Both.v6());
        assert!(Families::V4.v4() && !Families::V4.v6());
        assert!(!Families::V6.v4() && Families::V6.v6());
    }
}
