//! What is published.

use std::{sync::Arc, time::Instant};

use crate::{Error, endpoint::EndpointSet};

/// The endpoints of a target and what is known about them; cheap to clone.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct View {
    /// The endpoints. Its version counts the sets of this target from 1; as long as the endpoints stay the
    /// same, so do version and `Arc`, whatever becomes of the standing.
    pub set: Arc<EndpointSet>,
    /// What is known about them.
    pub standing: Freshness,
}

/// How far a set of endpoints can be trusted, or why there is none.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Freshness {
    /// No answer came yet; the set is empty.
    Unknown,
    /// The last answer was good, and the set is its content.
    Fresh,
    /// The last question failed; the set is what was known before.
    #[non_exhaustive]
    Stale {
        /// When the set was last known to be right: the arrival of the last good answer, or, where that held
        /// without a TTL, of the first failure.
        since: Instant,
        /// Why the last question failed.
        error: Error,
    },
    /// The name exists and has no endpoint; the set is empty.
    Empty,
    /// There is no such name; the set is empty.
    NotFound,
    /// The last question failed, and nothing (or nothing recent enough) is known from before; the set is
    /// empty.
    Failed(Error),
}

impl Freshness {
    /// Whether the set is of earlier, the last question having failed.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        matches!(self, Self::Stale { .. })
    }

    /// Why the last question failed, if it did.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        match self {
            Self::Stale { error, .. } | Self::Failed(error) => Some(error),
            Self::Unknown | Self::Fresh | Self::Empty | Self::NotFound => None,
        }
    }

    /// Errors have no equality: each failure is told.
    fn says_the_same_as(&self, other: &Self) -> bool {
        matches!(
            (self, other),
            (Self::Unknown, Self::Unknown)
                | (Self::Fresh, Self::Fresh)
                | (Self::Empty, Self::Empty)
                | (Self::NotFound, Self::NotFound)
        )
    }
}

impl View {
    /// Before the first answer.
    pub(super) fn unknown() -> Self {
        Self { set: Arc::default(), standing: Freshness::Unknown }
    }

    /// Takes over both, and returns the view if that changed anything.
    pub(super) fn show(&mut self, set: EndpointSet, standing: Freshness) -> Option<Self> {
        let version = self.set.version();
        let same_set = version > 0 && set == *self.set;
        if same_set {
            return self.stand(standing);
        }
        self.set = Arc::new(set.with_version(version.saturating_add(1)));
        self.standing = standing;
        Some(self.clone())
    }

    /// Keeps the set, and returns the view if the standing is another.
    pub(super) fn stand(&mut self, standing: Freshness) -> Option<Self> {
        let same = self.standing.says_the_same_as(&standing);
        self.standing = standing;
        (!same).then(|| self.clone())
    }
}
