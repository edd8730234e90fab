//! Why a balanced call has no response.

use std::{error::Error as StdError, fmt};

use discovery_core::{endpoint::Identity, name::Target};

/// Why a balanced call has no response: there was no endpoint for it, or the last attempt failed.
///
/// The type is opaque: use the predicates. Its `Display` names the target, the endpoint and the root cause in one line;
/// [`source`](StdError::source) returns the error of the resolver or of the endpoint's service.
#[derive(Debug)]
pub struct Error {
    inner: Inner,
    tried: usize,
    over_budget: bool,
}

#[derive(Debug)]
enum Inner {
    Discovery(discovery_core::Error),
    Service(Box<FailedCall>),
}

#[derive(Debug)]
struct FailedCall {
    target: Target,
    /// Of the last attempt.
    endpoint: Identity,
    error: Box<dyn StdError + Send + Sync>,
}

impl Error {
    pub(crate) fn discovery(error: discovery_core::Error) -> Self {
        Self { inner: Inner::Discovery(error), tried: 0, over_budget: false }
    }

    /// The last attempt, at `endpoint`, failed with `error`; the call took so many endpoints.
    pub(crate) fn service(
        error: impl Into<Box<dyn StdError + Send + Sync>>,
        target: &Target,
        endpoint: Identity,
        tried: usize,
    ) -> Self {
        let call = FailedCall { target: target.clone(), endpoint, error: error.into() };
        Self { inner: Inner::Service(Box::new(call)), tried, over_budget: false }
    }

    /// The call was not retried because the budget was exhausted.
    pub(crate) fn over_budget(self) -> Self {
        Self { over_budget: true, ..self }
    }

    /// The resolver's error, if there was no endpoint for the call.
    #[must_use]
    pub fn as_discovery(&self) -> Option<&discovery_core::Error> {
        match &self.inner {
            Inner::Discovery(error) => Some(error),
            Inner::Service(_) => None,
        }
    }

    /// The call was not retried because the [`RetryBudget`](discovery_core::policy::RetryBudget) was exhausted.
    #[must_use]
    pub fn is_over_budget(&self) -> bool {
        self.over_budget
    }

    /// The number of endpoints that the call was sent to.
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
            Inner::Service(call) => {
                let FailedCall { target, endpoint, error } = &**call;
                write!(f, "request to {target} failed")?;
                match self.tried {
                    1 => write!(f, " at endpoint {endpoint}")?,
                    tried => write!(f, " at {tried} endpoints, last at {endpoint}")?,
                }
                write!(f, ": {}", root_cause(&**error))?;
            }
        }
        if self.over_budget {
            f.write_str(" (not retried: retry budget exhausted)")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.inner {
            Inner::Discovery(error) => Some(error),
            Inner::Service(call) => Some(&*call.error),
        }
    }
}

/// The last error of the chain says what happened; those before it say that something did.
fn root_cause<'a>(error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    std::iter::successors(Some(error), |&error| error.source()).last().unwrap_or(error)
}
