//! What readers see.

use std::{fmt, sync::Arc, time::Instant};

use crate::{Error, endpoint::EndpointSet};

/// What readers see: the endpoints, and how things stand.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct View {
    /// The endpoints; the version counts from 1 with each different set.
    pub set: Arc<EndpointSet>,
    /// How things stand.
    pub standing: Standing,
}

/// How things stand with a target.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Standing {
    /// There was no answer yet.
    #[default]
    Unknown,
    /// The endpoints are those of the last answer.
    Fresh,
    /// The last questions failed: these are the endpoints of the last good answer.
    #[non_exhaustive]
    Stale {
        /// When the last good answer came.
        since: Instant,
        /// Why the last question failed.
        error: Error,
    },
    /// The name exists and has no endpoints.
    Empty,
    /// There is no such name.
    NotFound,
    /// Nothing is known, because the questions fail.
    Failed(Error),
}

impl Standing {
    /// Whether the two would be told in the same words; the times and texts of failures do not count.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("not answered yet"),
            Self::Fresh => f.write_str("fresh"),
            Self::Stale { error, .. } => write!(f, "stale: {error}"),
            Self::Empty => f.write_str("without endpoints"),
            Self::NotFound => f.write_str("not found"),
            Self::Failed(error) => write!(f, "failed: {error}"),
        }
    }
}
