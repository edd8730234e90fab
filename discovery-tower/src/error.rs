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
    over_budget: bool,
}

#[derive(Debug)]
enum Inner {
    Discovery(discovery_core::Error),
    Service(Box<dyn StdError + Send + Sync>),
}

impl Error {
    pub(crate) fn discovery(error: discovery_core::Error) -> Self {
        Self { inner: Inner::Discovery(error), tried: 0, over_budget: false }
    }

    pub(crate) fn service(error: impl Into<Box<dyn StdError + Send + Sync>>, tried: usize) -> Self {
        Self { inner: Inner::Service(error.into()), tried, over_budget: false }
    }

    pub(crate) fn over_budget(error: impl Into<Box<dyn StdError + Send + Sync>>, tried: usize) -> Self {
        Self { over_budget: true, ..Self::service(error, tried) }
    }

    /// There was no endpoint to send the request to; what the resolver says of it.
    #[must_use]
    pub fn as_discovery(&self) -> Option<&discovery_core::Error> {
        match &self.inner {
            Inner::Discovery(error) => Some(error),
            Inner::Service(_) => None,
        }
    }

    /// The call might have gone to another endpoint, but too many have lately: see
    /// [`RetryBudget`](discovery_core::policy::RetryBudget).
    #[must_use]
    pub fn is_over_budget(&self) -> bool {
        self.over_budget
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
            (Inner::Service(_), 1) => f.write_str("the endpoint failed the request")?,
            (Inner::Service(_), tried) => write!(f, "the last of {tried} endpoints failed the request")?,
        }
        if self.over_budget {
            f.write_str(" (not sent to another endpoint: the budget for retries is spent)")?;
        }
        Ok(())
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
