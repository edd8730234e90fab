//! Why a request has no response.

use std::{error::Error as StdError, fmt};

use discovery_core::endpoint::Identity;
use discovery_tower::is_interrupted;
use url::{Position, Url};

/// Why a request has no response: it could not be built, there was no endpoint for it, or the last attempt failed.
///
/// The type is opaque: use the predicates. Its `Display` names the target, the endpoint and the root cause in one line;
/// [`source`](StdError::source) returns the error of the resolver or of reqwest.
#[derive(Debug)]
pub struct Error {
    inner: Inner,
    endpoint: Option<Identity>,
    tried: usize,
    note: Option<Note>,
    /// The environment variable that the endpoint's address comes from.
    variable: Option<Box<str>>,
}

#[derive(Debug)]
enum Inner {
    Discovery(discovery_core::Error),
    Client(reqwest::Error),
    Request(reqwest::Error),
}

/// What else a reader of the error wants to know: why the request was not retried, or that it went to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    Stream,
    Budget,
    Proxy,
    Retained,
    Undecided,
}

impl Note {
    fn text(self) -> &'static str {
        match self {
            Self::Stream => "not retried: the body is a stream and cannot be sent twice",
            Self::Proxy => {
                "sent to the proxy of HTTP_PROXY, HTTPS_PROXY or ALL_PROXY; add the host to NO_PROXY to connect directly"
            }
            Self::Retained => {
                "the newest DNS answer does not name the endpoint, which was retained while requests succeeded"
            }
            Self::Undecided => {
                "not sent to the proxy of HTTP_PROXY, HTTPS_PROXY or ALL_PROXY, which is for hosts: the name may be that of a \
                 Service; write `.svc` after the name of a Service, or a final dot after the name of a host"
            }
            Self::Budget => "not retried: retry budget exhausted",
        }
    }
}

impl Error {
    pub(crate) fn request(mut error: reqwest::Error, tried: usize) -> Self {
        // The URL may be that of a redirect, which the server chose.
        if let Some(url) = error.url_mut() {
            hide_user_info(url);
        }
        Self { inner: Inner::Request(error), endpoint: None, tried, note: None, variable: None }
    }

    /// An HTTP client could not be built.
    pub(crate) fn client(error: reqwest::Error) -> Self {
        Self { inner: Inner::Client(error), endpoint: None, tried: 0, note: None, variable: None }
    }

    /// Names the endpoint of the last attempt.
    pub(crate) fn at(mut self, endpoint: Identity) -> Self {
        self.endpoint = Some(endpoint);
        self
    }

    /// Names the variable that the endpoint's address comes from.
    pub(crate) fn set_by(mut self, variable: Option<&str>) -> Self {
        self.variable = variable.map(Into::into);
        self
    }

    pub(crate) fn with_note(mut self, note: Note) -> Self {
        self.note = Some(note);
        self
    }

    /// The resolver's error, if there was no endpoint for the request.
    #[must_use]
    pub fn as_discovery(&self) -> Option<&discovery_core::Error> {
        match &self.inner {
            Inner::Discovery(error) => Some(error),
            Inner::Client(_) | Inner::Request(_) => None,
        }
    }

    /// reqwest's error, if the request could not be built or an attempt failed.
    #[must_use]
    pub fn as_reqwest(&self) -> Option<&reqwest::Error> {
        match &self.inner {
            Inner::Discovery(_) => None,
            Inner::Client(error) | Inner::Request(error) => Some(error),
        }
    }

    /// Unwraps reqwest's error.
    ///
    /// # Errors
    /// This error, if there was no endpoint.
    #[cfg(feature = "middleware")]
    pub(crate) fn into_reqwest(self) -> Result<reqwest::Error, Self> {
        match self.inner {
            Inner::Client(error) | Inner::Request(error) => Ok(error),
            Inner::Discovery(_) => Err(self),
        }
    }

    /// The connection to the last endpoint could not be established.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        self.as_reqwest().is_some_and(reqwest::Error::is_connect)
    }

    /// The request or the resolver timed out. So has a connection that was lost because a ping was not answered in time.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        match &self.inner {
            Inner::Discovery(error) => error.is_timeout(),
            Inner::Client(error) | Inner::Request(error) => error.is_timeout(),
        }
    }

    /// The request was not retried because the [`RetryBudget`](discovery_core::policy::RetryBudget) of its target was
    /// exhausted.
    #[must_use]
    pub fn is_over_budget(&self) -> bool {
        self.note == Some(Note::Budget)
    }

    /// The number of endpoints that the request was sent to.
    #[must_use]
    pub fn endpoints_tried(&self) -> usize {
        self.tried
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.inner {
            // The resolver's error names the target.
            Inner::Discovery(error) => write!(f, "no endpoint for the request: {error}")?,
            Inner::Client(error) => write!(f, "could not build the HTTP client: {}", root_cause(error))?,
            Inner::Request(error) => self.fmt_request(f, error)?,
        }
        if let Some(variable) = &self.variable {
            write!(f, " (the address comes from the variable `{variable}`)")?;
        }
        match self.note {
            Some(note) => write!(f, " ({})", note.text()),
            None => Ok(()),
        }
    }
}

impl Error {
    fn fmt_request(&self, f: &mut fmt::Formatter<'_>, error: &reqwest::Error) -> fmt::Result {
        let what = if self.tried == 0 { "could not build the request" } else { "request" };
        f.write_str(what)?;
        if let Some(url) = error.url() {
            // Neither path nor query: they may hold what does not belong in a log.
            write!(f, " to {}", &url[..Position::BeforePath])?;
        }
        if self.tried > 0 {
            f.write_str(" failed")?;
        }
        if self.tried > 1 {
            write!(f, " at {} endpoints", self.tried)?;
        }
        match &self.endpoint {
            Some(endpoint) if self.tried > 1 => write!(f, ", last at {endpoint}")?,
            Some(endpoint) => write!(f, " at endpoint {endpoint}")?,
            None => {}
        }
        let kind = match error {
            // A ping was not answered, or the kernel gave the connection up.
            error if error.is_timeout() && !error.is_connect() && is_interrupted(error) => "connection lost: ",
            error if error.is_timeout() => "timeout: ",
            error if error.is_connect() => "connect error: ",
            _ => "",
        };
        write!(f, ": {kind}{}", root_cause(error))
    }
}

/// Removes user and password, which belong in no log. Credentials that are not UTF-8 go as well.
pub(crate) fn hide_user_info(url: &mut Url) {
    if has_user_info(url) {
        // Errors only for URLs without a host, which have neither.
        let _ = url.set_username("");
        let _ = url.set_password(None);
    }
}

pub(crate) fn has_user_info(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// The last error of the chain says what happened; those before it say that something did.
fn root_cause(error: &reqwest::Error) -> &dyn StdError {
    let mut root: &dyn StdError = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    root
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.inner {
            Inner::Discovery(error) => Some(error),
            Inner::Client(error) | Inner::Request(error) => Some(error),
        }
    }
}

impl From<discovery_core::Error> for Error {
    fn from(error: discovery_core::Error) -> Self {
        Self { inner: Inner::Discovery(error), endpoint: None, tried: 0, note: None, variable: None }
    }
}
