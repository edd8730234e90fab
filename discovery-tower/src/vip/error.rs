//! The error of the connector.

use std::{error::Error as StdError, fmt};

use discovery_proxy::forward::DialError;
use http::Uri;

/// Why a [`VipConnector`](super::VipConnector) returned no connection. The type is opaque: use the predicates.
#[derive(Debug)]
pub struct VipError {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    NotAnAddress(String),
    Dial(DialError),
}

impl VipError {
    pub(super) fn not_an_address(uri: &Uri) -> Self {
        Self { kind: Kind::NotAnAddress(uri.to_string()) }
    }

    pub(super) const fn dial(error: DialError) -> Self {
        Self { kind: Kind::Dial(error) }
    }

    /// The URI has no IP address, or neither a port nor a scheme with a default port.
    #[must_use]
    pub const fn is_not_an_address(&self) -> bool {
        matches!(self.kind, Kind::NotAnAddress(_))
    }

    /// The error of the dialer, if the connection could not be established.
    #[must_use]
    pub const fn as_dial(&self) -> Option<&DialError> {
        match &self.kind {
            Kind::Dial(error) => Some(error),
            Kind::NotAnAddress(_) => None,
        }
    }
}

impl fmt::Display for VipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::NotAnAddress(uri) => write!(
                f,
                "cannot dial {uri:?}: the host must be an IP address, with a port unless the scheme has a default port; \
                 use `Balance` for names"
            ),
            Kind::Dial(error) => error.fmt(f),
        }
    }
}

impl StdError for VipError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.as_dial().map(|error| error as &(dyn StdError + 'static))
    }
}
