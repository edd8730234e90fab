//! The error of this crate.

use std::{error::Error as StdError, fmt, sync::Arc};

use discovery_core::text::printable;

/// The most characters of an error. It quotes texts of the registry, of DNS and of TLS.
const MAX_TEXT: usize = 1500;

/// Why a request to a registry, or its configuration, failed.
///
/// Opaque; use the predicates. The text is one line with the causes, and never contains the user or password of a
/// registry URL. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Error(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Config,
    Unreachable,
    Status(u16),
    Unreadable,
    Closed,
    Token,
}

impl Error {
    /// Returns true if a setting or an environment variable is invalid or missing; the text says which one. A retry
    /// does not help.
    #[must_use]
    pub fn is_config(&self) -> bool {
        self.0.kind == Kind::Config
    }

    /// Returns true if no registry responded: no endpoint, no connection, or a timeout.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        self.0.kind == Kind::Unreachable
    }

    /// Returns the HTTP status if a registry rejected the request.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self.0.kind {
            Kind::Status(status) => Some(status),
            _ => None,
        }
    }

    /// Returns true if a response could not be decoded.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        self.0.kind == Kind::Unreadable
    }

    /// Returns true if the registration has ended, by a shutdown or because its runtime shut down.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.kind == Kind::Closed
    }

    /// Returns true if there was no token to send: the function that was passed to
    /// [`RegistryBuilder::bearer_token`](crate::RegistryBuilder::bearer_token) failed, or returned text that is not a
    /// token. The registry was not asked.
    #[must_use]
    pub fn is_token(&self) -> bool {
        self.0.kind == Kind::Token
    }

    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::new(Kind::Config, message)
    }

    /// `message` names the registry without its credentials.
    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unreachable, message)
    }

    /// The same as [`unreachable`](Self::unreachable), with its cause.
    pub(crate) fn broken(message: impl Into<String>, source: impl StdError + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner { kind: Kind::Unreachable, message: message.into(), source: Some(Box::new(source)) }))
    }

    pub(crate) fn rejected(status: u16, message: impl Into<String>) -> Self {
        Self::new(Kind::Status(status), message)
    }

    pub(crate) fn unreadable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unreadable, message)
    }

    pub(crate) fn closed(message: impl Into<String>) -> Self {
        Self::new(Kind::Closed, message)
    }

    pub(crate) fn token(message: impl Into<String>) -> Self {
        Self::new(Kind::Token, message)
    }

    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner { kind, message: message.into(), source: None }))
    }
}

/// Writes the message and every cause that the text before it does not contain yet, so that one line is enough to act
/// on.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.0.message.clone();
        let mut cause = self.source();
        while let Some(error) = cause {
            let reason = error.to_string();
            if !text.contains(&reason) {
                text.push_str(": ");
                text.push_str(&reason);
            }
            cause = error.source();
        }
        f.write_str(&printable(&text, MAX_TEXT))
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<Error> for discovery_core::Error {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        if error.is_config() { Self::config(text) } else { Self::transient(text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_servers_stay_in_one_line() {
        let error = Error::broken("request failed", std::io::Error::other("refused\r\nINFO well\u{1b}[2J"));
        assert_eq!(error.to_string(), "request failed: refused INFO well[2J");
        assert!(Error::config("x".repeat(10_000)).to_string().len() < 2000);
    }
}
