//! The answer to a DNS query, whatever it is about.

use std::time::Duration;

/// What DNS says about a name. A query that failed has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer<T> {
    /// The name has the records that the query asked for.
    Found {
        value: T,
        /// How long the value may be used.
        ttl: Duration,
    },
    /// The name exists and has no such records.
    NoData { ttl: Duration },
    /// The name does not exist.
    NxDomain { ttl: Duration },
}

impl<T> Answer<T> {
    /// Returns the value and its TTL, or the negative answer for any other type of value.
    pub(super) fn into_found<U>(self) -> Result<(T, Duration), Answer<U>> {
        match self {
            Self::Found { value, ttl } => Ok((value, ttl)),
            Self::NoData { ttl } => Err(Answer::NoData { ttl }),
            Self::NxDomain { ttl } => Err(Answer::NxDomain { ttl }),
        }
    }

    /// Applies `f` to the value and keeps the TTL.
    pub(super) fn map<U>(self, f: impl FnOnce(T) -> U) -> Answer<U> {
        match self.into_found() {
            Ok((value, ttl)) => Answer::Found { value: f(value), ttl },
            Err(negative) => negative,
        }
    }
}
