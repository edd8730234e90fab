//! The published state of a target.

use std::{sync::Arc, time::Instant};

use crate::{Error, endpoint::EndpointSet};

/// The endpoints of a target and how current they are; cheap to clone.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct View {
    /// The endpoints. The version of the set counts the sets of this target from 1. While the endpoints stay the same,
    /// the version and the `Arc` stay the same too, even if the freshness changes.
    pub set: Arc<EndpointSet>,
    /// How current the set is, or why it is empty.
    pub freshness: Freshness,
}

/// How current a set of endpoints is, or why it is empty.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Freshness {
    /// No answer has arrived yet; the set is empty.
    Unknown,
    /// The last query succeeded, and the set is its answer.
    Fresh,
    /// The last query failed; the set is from an earlier answer.
    #[non_exhaustive]
    Stale {
        /// When the set was last known to be correct: the arrival of the last positive answer. If that answer had no
        /// TTL, it is the time of the first failure.
        since: Instant,
        /// Why the last query failed.
        error: Error,
    },
    /// The last answer was negative, and it is confirmed. The set holds the endpoints that are retained because requests on
    /// them succeed; readers that wait for endpoints find them. When the last one leaves, the set is `Empty` or
    /// `NotFound`.
    #[non_exhaustive]
    Retained {
        /// When the negative answer was confirmed.
        since: Instant,
        /// Whether the name does not exist; otherwise it exists and has no endpoints.
        is_not_found: bool,
    },
    /// The name exists and has no endpoints; the set is empty.
    Empty,
    /// The name does not exist; the set is empty.
    NotFound,
    /// The last query failed, and no earlier answer is recent enough to use; the set is empty.
    Failed(Error),
}

impl Freshness {
    /// Whether the set is stale because the last query failed.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        matches!(self, Self::Stale { .. })
    }

    /// Whether the last answer was negative and the set holds retained endpoints.
    #[must_use]
    pub fn is_retained(&self) -> bool {
        matches!(self, Self::Retained { .. })
    }

    /// Returns why the last query failed, if it did.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        match self {
            Self::Stale { error, .. } | Self::Failed(error) => Some(error),
            Self::Unknown | Self::Fresh | Self::Retained { .. } | Self::Empty | Self::NotFound => None,
        }
    }
}
