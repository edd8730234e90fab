//! URL schemes and their default ports.

use std::{fmt, num::NonZeroU16, sync::Arc};

use super::PortName;

/// The schemes with a default port. Numbers: IANA service name and port number registry.
const DEFAULT_PORTS: &[(&str, u16)] = &[
    ("amqp", 5672),
    ("amqps", 5671),
    ("ftp", 21),
    ("http", 80),
    ("https", 443),
    ("ldap", 389),
    ("ldaps", 636),
    ("mongodb", 27017),
    ("mysql", 3306),
    ("nats", 4222),
    ("postgres", 5432),
    ("postgresql", 5432),
    ("redis", 6379),
    ("ws", 80),
    ("wss", 443),
];

/// The scheme of a URL, lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scheme(Arc<str>);

impl Scheme {
    /// `text` comes from the `url` crate, which checks the grammar of RFC 3986 and folds case.
    pub(super) fn from_parsed(text: &str) -> Self {
        Self(text.into())
    }

    /// The scheme in lower case, without `:`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The port of a URL that has no port.
    #[must_use]
    pub fn default_port(&self) -> Option<NonZeroU16> {
        let found = DEFAULT_PORTS.iter().find(|(scheme, _)| *scheme == &*self.0)?;
        NonZeroU16::new(found.1)
    }

    /// The scheme as a port name, if it is a valid label.
    #[must_use]
    pub fn port_name(&self) -> Option<PortName> {
        PortName::new(&self.0).ok()
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
