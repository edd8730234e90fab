//! Why a registry could not be asked, or said no.

use std::{error::Error as StdError, fmt, sync::Arc};

/// Why something with a registry did not work.
///
/// Opaque; ask it with the predicates. Its text never holds the user and the password of a registry's URL. Cheap to clone.
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
    Answered(u16),
    Unreadable,
    Closed,
}

impl Error {
    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner { kind, message: message.into(), source: None }))
    }

    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::new(Kind::Config, message)
    }

    /// `message` names the registry without its credentials.
    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unreachable, message)
    }

    /// As [`unreachable`](Self::unreachable), because of `source`.
    pub(crate) fn broken(message: impl Into<String>, source: impl StdError + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner { kind: Kind::Unreachable, message: message.into(), source: Some(Box::new(source)) }))
    }

    pub(crate) fn answered(status: u16, message: impl Into<String>) -> Self {
        Self::new(Kind::Answered(status), message)
    }

    pub(crate) fn unreadable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unreadable, message)
    }

    pub(crate) fn closed(message: impl Into<String>) -> Self {
        Self::new(Kind::Closed, message)
    }

    /// A setting or a variable is wrong or missing; the text says which. Trying again does not help.
    #[must_use]
    pub fn is_config(&self) -> bool {
        self.0.kind == Kind::Config
    }

    /// No registry answered: no endpoint, no connection, or no answer in time.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        self.0.kind == Kind::Unreachable
    }

    /// The HTTP status, where a registry answered and it was not what was asked for.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self.0.kind {
            Kind::Answered(status) => Some(status),
            _ => None,
        }
    }

    /// An answer was none that this client understands.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        self.0.kind == Kind::Unreadable
    }

    /// The registration has ended, by a shutdown or with its runtime.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.kind == Kind::Closed
    }

    /// All causes in one line, for where a chain cannot be kept.
    pub(crate) fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<Error> for discovery_core::Error {
    fn from(error: Error) -> Self {
        let text = error.in_full();
        if error.is_config() { Self::config(text) } else { Self::transient(text) }
    }
}
