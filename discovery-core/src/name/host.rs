//! The host part of a target.

use std::{fmt, net::IpAddr};

use super::DomainName;

/// What stands where a URL has its host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Host {
    /// An address literal; nothing is asked of anyone.
    Ip(IpAddr),
    /// `localhost` or a name below it: always loopback, never asked (RFC 6761 section 6.3).
    Localhost,
    /// A name to be read as a Service, a pod of a Service, or an ordinary host.
    #[non_exhaustive]
    Name {
        /// The name without SRV labels.
        name: DomainName,
        /// Whether it was written with a final dot: then it is read in one way only.
        absolute: bool,
    },
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Localhost => f.write_str("localhost"),
            Self::Name { name, absolute } => write!(f, "{name}{}", if *absolute { "." } else { "" }),
        }
    }
}
