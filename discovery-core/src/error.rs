//! The error type of the crate.

use std::{error::Error as StdError, fmt, sync::Arc};

use crate::{name::NameError, text::one_line};

/// Why a target has no endpoints, or why a call failed.
///
/// The type is opaque: use the predicates to tell errors apart. The text is for people and may change between releases.
/// Cloning is cheap, because every caller that waits for a lookup gets a copy of its error.
///
/// The error keeps the reason of each source that was queried: see [`Error::causes`]. `Display` shows all of them in
/// one line.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    kind: Kind,
    message: Box<str>,
    causes: Vec<Error>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Name,
    Config,
    NotFound,
    Empty,
    Timeout,
    Transient,
    AllTried,
    Closed,
}

impl Error {
    #[cfg_attr(not(feature = "resolver"), expect(dead_code, reason = "only the resolver has causes to join"))]
    pub(crate) fn joined(kind: Kind, message: impl Into<String>, causes: Vec<Self>) -> Self {
        Self(Arc::new(Inner { kind, message: one_line(message).into(), causes, source: None }))
    }

    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner { kind, message: one_line(message).into(), causes: Vec::new(), source: None }))
    }

    pub(crate) fn with_source(
        kind: Kind,
        message: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self(Arc::new(Inner {
            kind,
            message: one_line(message).into(),
            causes: Vec::new(),
            source: Some(source.into()),
        }))
    }

    /// Creates a configuration error, for a [`Source`](crate::source::Source) of your own: a setting, a variable or a
    /// file is wrong or missing, and retrying does not help. `message` should name it and say what to set.
    #[must_use]
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(Kind::Config, message)
    }

    /// Creates a transient error, for a [`Source`](crate::source::Source) of your own: the source could not be queried
    /// or did not answer, and retrying may help.
    #[must_use]
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(Kind::Transient, message)
    }

    #[cfg_attr(not(feature = "resolver"), expect(dead_code, reason = "only the resolver sorts causes"))]
    pub(crate) fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Whether the input is not a valid target.
    #[must_use]
    pub fn is_invalid_name(&self) -> bool {
        self.0.kind == Kind::Name
    }

    /// Whether a setting, a variable or a file is wrong or missing. The text names it.
    #[must_use]
    pub fn is_config(&self) -> bool {
        self.0.kind == Kind::Config
    }

    /// Whether the name does not exist: no source failed, and none knows the name.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.0.kind == Kind::NotFound
    }

    /// Whether the name exists but has no endpoints at present.
    #[must_use]
    pub fn is_no_endpoints(&self) -> bool {
        self.0.kind == Kind::Empty
    }

    /// Whether a source did not answer in time.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.0.kind == Kind::Timeout
    }

    /// Whether a source could not be queried, failed, or did not answer in time. Nothing is known about the name, and
    /// retrying may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self.0.kind, Kind::Transient | Kind::Timeout)
    }

    /// Whether the request has already tried every endpoint.
    #[must_use]
    pub fn is_all_tried(&self) -> bool {
        self.0.kind == Kind::AllTried
    }

    /// Whether the runtime of the background task has shut down.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.kind == Kind::Closed
    }

    /// The reason of each source that was queried, in that order. Empty if the error has a single cause.
    #[must_use]
    pub fn causes(&self) -> &[Self] {
        &self.0.causes
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        for (at, cause) in self.0.causes.iter().enumerate() {
            write!(f, "{}{cause}", if at == 0 { ": " } else { "; " })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error").field("kind", &self.0.kind).field("text", &self.to_string()).finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<NameError> for Error {
    fn from(error: NameError) -> Self {
        Self::with_source(Kind::Name, error.to_string(), error)
    }
}
