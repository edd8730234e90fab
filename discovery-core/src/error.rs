//! The one error of the crate.

use std::{error::Error as StdError, fmt, sync::Arc};

use crate::name::NameError;

/// Why a target has no endpoints, or a call no answer.
///
/// Opaque on purpose: ask it with the predicates. Its text is for people and may change. It is cheap to
/// clone, because one failed lookup is told to everyone who waits for it.
///
/// Where several sources were asked, every one's reason is kept: see [`Error::causes`].
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
    pub(crate) fn joined(kind: Kind, message: impl Into<Box<str>>, causes: Vec<Self>) -> Self {
        Self(Arc::new(Inner { kind, message: message.into(), causes, source: None }))
    }

    pub(crate) fn new(kind: Kind, message: impl Into<Box<str>>) -> Self {
        Self(Arc::new(Inner { kind, message: message.into(), causes: Vec::new(), source: None }))
    }

    pub(crate) fn with_source(
        kind: Kind,
        message: impl Into<Box<str>>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self(Arc::new(Inner { kind, message: message.into(), causes: Vec::new(), source: Some(source.into()) }))
    }

    /// A setting, a variable, a file or a missing piece of context is wrong; the text says which and what
    /// to set. Trying again does not help. For a [`Source`](crate::source::Source) of your own.
    #[must_use]
    pub fn config(message: impl Into<Box<str>>) -> Self {
        Self::new(Kind::Config, message)
    }

    /// The source could not be asked or did not answer: trying again may help. For a
    /// [`Source`](crate::source::Source) of your own.
    #[must_use]
    pub fn transient(message: impl Into<Box<str>>) -> Self {
        Self::new(Kind::Transient, message)
    }

    #[cfg_attr(not(feature = "resolver"), expect(dead_code, reason = "only the resolver sorts causes"))]
    pub(crate) fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The input is not a valid target.
    #[must_use]
    pub fn is_invalid_name(&self) -> bool {
        self.0.kind == Kind::Name
    }

    /// A setting, variable or file is wrong or missing; the text says which.
    #[must_use]
    pub fn is_config(&self) -> bool {
        self.0.kind == Kind::Config
    }

    /// The sources agree that there is no such name.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.0.kind == Kind::NotFound
    }

    /// The name exists and has no endpoint now.
    #[must_use]
    pub fn is_no_endpoints(&self) -> bool {
        self.0.kind == Kind::Empty
    }

    /// No answer came in time.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.0.kind == Kind::Timeout
    }

    /// A source could not be asked, failed, or did not answer in time: nothing is known about the name, and
    /// trying again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self.0.kind, Kind::Transient | Kind::Timeout)
    }

    /// Every endpoint has been tried already.
    #[must_use]
    pub fn is_all_tried(&self) -> bool {
        self.0.kind == Kind::AllTried
    }

    /// The runtime that did the work has shut down.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.kind == Kind::Closed
    }

    /// What each source that was asked said, in the order of asking; empty for a single cause.
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
        Self::with_source(Kind::Name, "not a target", error)
    }
}
