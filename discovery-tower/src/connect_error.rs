//! A connection to an endpoint could not be established.

use std::{error::Error as StdError, fmt};

/// The connection to an endpoint could not be established, so the endpoint has not seen the request.
///
/// Return it from a service of your own that opens its connections itself. [`HttpRetry`](crate::HttpRetry) and
/// [`NoRetry`](crate::NoRetry) find it in the chain of sources of an error, and requests fail over to another endpoint.
///
/// ```
/// use discovery_tower::ConnectError;
///
/// let error = ConnectError::new("10.0.0.1:9000: no route");
/// assert_eq!(error.to_string(), "could not connect to the endpoint: 10.0.0.1:9000: no route");
/// ```
#[derive(Debug)]
pub struct ConnectError(Box<dyn StdError + Send + Sync>);

impl ConnectError {
    /// Creates an error with its cause.
    #[must_use]
    pub fn new(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not connect to the endpoint: {}", self.0)
    }
}

impl StdError for ConnectError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0)
    }
}
