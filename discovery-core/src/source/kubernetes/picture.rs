//! A namespace as it is known now: its objects, and how far they can be believed. Pure.

use std::time::Instant;

use super::{
    model::{Service, Slice},
    store::Store,
};
use crate::Error;

/// What is known of a namespace, and the state of the two watches that tell it.
#[derive(Debug, Default)]
pub(super) struct Picture {
    pub(super) store: Store,
    pub(super) services: Watched,
    pub(super) slices: Watched,
}

/// One of the two watches.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// A whole list has come at some time.
    pub(super) listed: bool,
    /// A watch has worked for a moment at some time.
    pub(super) granted: bool,
    pub(super) health: Health,
}

/// How a watch is.
#[derive(Clone, Debug, Default)]
pub(super) enum Health {
    /// The first list is on its way.
    #[default]
    Waiting,
    /// It tells of every change.
    Live,
    /// It cannot be had at the moment.
    Down { error: Error, since: Instant },
    /// The Role is missing.
    Forbidden(Error),
    /// This API server has no such resource.
    Refused(Error),
}

/// Both watches together.
#[derive(Clone, Debug)]
pub(super) enum Standing {
    Waiting,
    Live,
    /// What is known is as it was; nothing new is heard since.
    Stale {
        error: Error,
        since: Instant,
    },
    /// Nothing has ever been known.
    Unreachable(Error),
    Forbidden(Error),
    Refused(Error),
}

/// What tells one kind of standing from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Waiting,
    Live,
    Stale,
    Unreachable,
    Forbidden,
    Refused,
}

/// The kinds of object whose watch has a place in the picture.
pub(super) trait Place {
    fn watched(picture: &mut Picture) -> &mut Watched;
}

impl Place for Service {
    fn watched(picture: &mut Picture) -> &mut Watched {
        &mut picture.services
    }
}

impl Place for Slice {
    fn watched(picture: &mut Picture) -> &mut Watched {
        &mut picture.slices
    }
}

impl Watched {
    /// It failed; the first failure of several says since when.
    pub(super) fn fail(&mut self, error: Error, now: Instant) {
        let since = if let Health::Down { since, .. } = self.health { since } else { now };
        self.health = Health::Down { error, since };
    }
}

impl Picture {
    /// The worse of the two watches decides.
    pub(super) fn standing(&self) -> Standing {
        let both = [&self.slices, &self.services];
        let first = |pick: fn(&Health) -> Option<Standing>| both.iter().find_map(|watched| pick(&watched.health));
        let refused = |health: &Health| match health {
            Health::Refused(error) => Some(Standing::Refused(error.clone())),
            _ => None,
        };
        let forbidden = |health: &Health| match health {
            Health::Forbidden(error) => Some(Standing::Forbidden(error.clone())),
            _ => None,
        };
        let down = |health: &Health| match health {
            Health::Down { error, since } => Some(Standing::Stale { error: error.clone(), since: *since }),
            _ => None,
        };
        let listed = both.iter().all(|watched| watched.listed);
        let stale = match first(down) {
            Some(Standing::Stale { error, .. }) if !listed => Some(Standing::Unreachable(error)),
            other => other,
        };
        let missing = if listed { Standing::Live } else { Standing::Waiting };
        first(refused).or_else(|| first(forbidden)).or(stale).unwrap_or(missing)
    }
}

impl Standing {
    pub(super) fn mark(&self) -> Mark {
        match self {
            Self::Waiting => Mark::Waiting,
            Self::Live => Mark::Live,
            Self::Stale { .. } => Mark::Stale,
            Self::Unreachable(_) => Mark::Unreachable,
            Self::Forbidden(_) => Mark::Forbidden,
            Self::Refused(_) => Mark::Refused,
        }
    }
}
