//! Why a balanced call has no response.

use std::{error::Error as StdError, fmt};

/// Why a balanced call has no response: there was no endpoint to send it to, or the last endpoint that was
/// tried failed it.
///
/// Opaque; ask it with the predicates, or take the inner error's type from `source()`.
#[derive(Debug)]
pub struct Error {
    inner: Inner,
    tried: usize,
}

#[derive(Debug)]
enum Inner {
    Discovery(discovery_core::Error),
    Service(Box<dyn StdError + Send + Sync>),
}

impl Error {
    pub(crate) fn discovery(error: discovery_core::Error) -> Self {
        Self { inner: Inner::Discovery(error), tried: 0 }
    }

    pub(crate) fn service(error: impl Into<Box<dyn StdError + Send + Sync>>, tried: usize) -> Self {
        Self { inner: Inner::Service(error.into()), tried }
    }

    /// There was no endpoint to send the request to; what the resolver says of it.
    #[must_use]
    pub fn as_discovery(&self) -> Option<&discovery_core::Error> {
        match &self.inner {
            Inner::Discovery(error) => Some(error),
            Inner::Service(_) => None,
        }
    }

    /// How many endpoints were tried.
    #[must_use]
    pub fn endpoints_tried(&self) -> usize {
        self.tried
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.inner, self.tried) {
            (Inner::Discovery(_), _) => f.write_str("no endpoint to send the request to"),
            (Inner::Service(_), 1) => f.write_str("the endpoint failed the request"),
            (Inner::Service(_), tried) => write!(f, "the last of {tried} endpoints failed the request"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.inner {
            Inner::Discovery(error) => Some(error),
            Inner::Service(error) => Some(&**error),
        }
    }
}
