//! The queries that a server received.

use std::{fmt, net::SocketAddr};

/// The type of a DNS query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum QType {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    AAAA,
    /// Ports and targets (RFC 2782).
    SRV,
    /// Text.
    TXT,
    /// The name of an address.
    PTR,
    /// The canonical name of an alias.
    CNAME,
    /// Start of authority.
    SOA,
    /// Name servers.
    NS,
    /// Any other type, by its number.
    Other(u16),
}

impl QType {
    /// Returns the number of the type, as assigned by IANA.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::A => 1,
            Self::NS => 2,
            Self::CNAME => 5,
            Self::SOA => 6,
            Self::PTR => 12,
            Self::TXT => 16,
            Self::AAAA => 28,
            Self::SRV => 33,
            Self::Other(number) => number,
        }
    }
}

impl From<u16> for QType {
    fn from(number: u16) -> Self {
        match number {
            1 => Self::A,
            2 => Self::NS,
            5 => Self::CNAME,
            6 => Self::SOA,
            12 => Self::PTR,
            16 => Self::TXT,
            28 => Self::AAAA,
            33 => Self::SRV,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for QType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(number) => write!(f, "TYPE{number}"),
            named => write!(f, "{named:?}"),
        }
    }
}

/// The transport of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Transport {
    /// One datagram.
    Udp,
    /// One message on a TCP connection.
    Tcp,
}

/// A query that reached the server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceivedQuery {
    /// The name, in lower case and with a trailing dot.
    pub name: String,
    /// The type.
    pub qtype: QType,
    /// UDP or TCP.
    pub transport: Transport,
    /// Address and port of the client.
    pub from: SocketAddr,
    /// True if a rule suppressed the answer.
    pub dropped: bool,
}
