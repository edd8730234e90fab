//! Ports and protocols.

use std::{fmt, num::NonZeroU16};

use super::PortName;

/// The port of a target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Port {
    /// A number, `orders:8080`.
    Number(NonZeroU16),
    /// A name, `orders:http` or `_http._tcp.orders`. Only a source that knows port names can answer.
    Name(PortName),
    /// Not written: the default port of the scheme, if it has one. A URL with its scheme's default port means the same:
    /// `http://orders:80` is `http://orders` (WHATWG URL).
    Default(Option<NonZeroU16>),
}

impl Port {
    /// The number, if one is written or the scheme has a default.
    #[must_use]
    pub fn number(&self) -> Option<NonZeroU16> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Default(number) => *number,
            Self::Name(_) => None,
        }
    }
}

/// The transport protocol of a Service's port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// TCP, the default.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// The protocol's name in lower case, as in SRV names and Docker-link variables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    pub(super) fn from_srv_label(label: &str) -> Option<Self> {
        [Self::Tcp, Self::Udp, Self::Sctp].into_iter().find(|p| label.strip_prefix('_') == Some(p.as_str()))
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
