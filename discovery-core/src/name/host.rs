//! The host part of a target.

use std::{fmt, net::IpAddr};

use super::DomainName;

/// The host part of a target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Host {
    /// An address literal, which needs no query.
    Ip(IpAddr),
    /// `localhost` or a name below it: always loopback, without a query (RFC 6761 section 6.3).
    Localhost,
    /// The name of a Service, of a pod of a Service, or of an ordinary host.
    #[non_exhaustive]
    Name {
        /// The name without SRV labels.
        name: DomainName,
        /// Whether the name has a final dot, so that it has a single meaning.
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
