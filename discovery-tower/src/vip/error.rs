//! Why there is no connection.

use std::{error::Error as StdError, fmt};

use discovery_proxy::forward::DialError;
use http::Uri;

/// Why a [`VipConnector`](super::VipConnector) has no connection. Opaque; ask it with the predicates.
#[derive(Debug)]
pub struct VipError {
    why: Why,
}

#[derive(Debug)]
enum Why {
    NotAnAddress(String),
    Dial(DialError),
}

impl VipError {
    pub(super) fn not_an_address(uri: &Uri) -> Self {
        Self { why: Why::NotAnAddress(uri.to_string()) }
    }

    pub(super) const fn dial(error: DialError) -> Self {
        Self { why: Why::Dial(error) }
    }

    /// The URI names no address and port that could be dialled.
    #[must_use]
    pub const fn is_not_an_address(&self) -> bool {
        matches!(self.why, Why::NotAnAddress(_))
    }

    /// What dialling has led to.
    #[must_use]
    pub const fn as_dial(&self) -> Option<&DialError> {
        match &self.why {
            Why::Dial(error) => Some(error),
            Why::NotAnAddress(_) => None,
        }
    }
}

impl fmt::Display for VipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Why::NotAnAddress(uri) => write!(
                f,
                "{uri:?} is not a virtual address: its host has to be an IP address, with a port unless the scheme has one; \
                 for names, see `Balance`"
            ),
            Why::Dial(_) => f.write_str("no connection to the virtual address"),
        }
    }
}

impl StdError for VipError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.as_dial().map(|error| error as &(dyn StdError + 'static))
    }
}
