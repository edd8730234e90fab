//! Why a request has no response.

use std::{error::Error as StdError, fmt};

/// Why a request has no response: it could not be built, there was no endpoint to send it to, or the last
/// endpoint that was tried failed it.
///
/// Opaque; ask it with the predicates.
#[derive(Debug)]
pub struct Error {
    inner: Inner,
    tried: usize,
    note: Option<Note>,
}

#[derive(Debug)]
enum Inner {
    Discovery(discovery_core::Error),
    Request(reqwest::Error),
}

/// What else there is to say: why a request that might have gone to another endpoint did not, or where it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    Stream,
    Budget,
    Proxy,
}

impl Note {
    fn text(self) -> &'static str {
        match self {
            Self::Stream => "not sent to another endpoint: its body is a stream",
            Self::Proxy => {
                "through the proxy of HTTP_PROXY, HTTPS_PROXY or ALL_PROXY; NO_PROXY names hosts that need none"
            }
            Self::Budget => "not sent to another endpoint: the budget for retries is spent",
        }
    }
}

impl Error {
    pub(crate) fn request(error: reqwest::Error, tried: usize) -> Self {
        Self { inner: Inner::Request(error), tried, note: None }
    }

    pub(crate) fn with_note(mut self, note: Note) -> Self {
        self.note = Some(note);
        self
    }

    /// There was no endpoint to send the request to; what the resolver says of it.
    #[must_use]
    pub fn as_discovery(&self) -> Option<&discovery_core::Error> {
        match &self.inner {
            Inner::Discovery(error) => Some(error),
            Inner::Request(_) => None,
        }
    }

    /// reqwest's own error, where it was reqwest that failed.
    #[must_use]
    pub fn as_reqwest(&self) -> Option<&reqwest::Error> {
        match &self.inner {
            Inner::Discovery(_) => None,
            Inner::Request(error) => Some(error),
        }
    }

    /// reqwest's own error without what is known beside it; this one again where it was not reqwest that failed.
    ///
    /// # Errors
    /// This error, when there was no endpoint.
    #[cfg(feature = "middleware")]
    pub(crate) fn into_reqwest(self) -> Result<reqwest::Error, Self> {
        match self.inner {
            Inner::Request(error) => Ok(error),
            Inner::Discovery(_) => Err(self),
        }
    }

    /// No connection came about to any endpoint that was tried.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        self.as_reqwest().is_some_and(reqwest::Error::is_connect)
    }

    /// The request, or the resolver, ran out of time.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        match &self.inner {
            Inner::Discovery(error) => error.is_timeout(),
            Inner::Request(error) => error.is_timeout(),
        }
    }

    /// The request might have gone to another endpoint, but too many have lately: see
    /// [`RetryBudget`](discovery_core::policy::RetryBudget).
    #[must_use]
    pub fn is_over_budget(&self) -> bool {
        self.note == Some(Note::Budget)
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
            (Inner::Discovery(_), _) => f.write_str("no endpoint to send the request to")?,
            (Inner::Request(_), 0) => f.write_str("the request could not be built")?,
            (Inner::Request(_), 1) => f.write_str("the endpoint failed the request")?,
            (Inner::Request(_), tried) => write!(f, "the last of {tried} endpoints failed the request")?,
        }
        match self.note {
            Some(note) => write!(f, " ({})", note.text()),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.inner {
            Inner::Discovery(error) => Some(error),
            Inner::Request(error) => Some(error),
        }
    }
}

impl From<discovery_core::Error> for Error {
    fn from(error: discovery_core::Error) -> Self {
        Self { inner: Inner::Discovery(error), tried: 0, note: None }
    }
}
