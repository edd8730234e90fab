//! Protocols and address families.

use std::{error, fmt, net::IpAddr, str::FromStr};

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

impl Protocol {
    const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// Returns the protocol as the API writes it, such as `TCP`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Protocol {
    type Err = Unsupported;

    /// Parses the API's spelling in capitals. The empty string is TCP.
    fn from_str(text: &str) -> Result<Self, Unsupported> {
        let supported = "\"SCTP\", \"TCP\", \"UDP\"";
        if text.is_empty() { Ok(Self::Tcp) } else { Unsupported::or_one_of(text, &Self::ALL, Self::as_str, supported) }
    }
}

/// A value that the API does not support in a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    value: String,
    supported: &'static str,
}

impl Unsupported {
    /// Returns the value that is spelled as `text`. `supported` lists all spellings, in the order of the API server.
    pub(super) fn or_one_of<T: Copy>(
        text: &str,
        all: &[T],
        spelling: fn(T) -> &'static str,
        supported: &'static str,
    ) -> Result<T, Self> {
        let unsupported = || Self { value: text.to_owned(), supported };
        all.iter().copied().find(|one| spelling(*one) == text).ok_or_else(unsupported)
    }

    /// Returns the unsupported value.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns the list of supported values.
    #[must_use]
    pub const fn supported(&self) -> &'static str {
        self.supported
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unsupported value: {:?}: supported values: {}", self.value, self.supported)
    }
}

impl error::Error for Unsupported {}

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
    /// Returns the family as the API writes it, such as `IPv4`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// Returns the family of an address. An IPv4-mapped IPv6 address is IPv4.
    #[must_use]
    pub const fn from_ip(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

impl fmt::Display for IpFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for IpFamily {
    type Err = Unsupported;

    /// Parses the API's spelling of one entry of `ipFamilies`.
    fn from_str(text: &str) -> Result<Self, Unsupported> {
        Unsupported::or_one_of(text, &[Self::V4, Self::V6], Self::as_str, "\"IPv4\", \"IPv6\"")
    }
}
