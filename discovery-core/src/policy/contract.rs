//! What a policy is.

use std::{fmt, time::Instant};

use super::{PickError, Rng, Slots, Tried};

/// A way to choose: builds a [`Picker`] for each new set of endpoints.
pub trait Policy: Send + Sync + fmt::Debug + 'static {
    /// A picker for `slots`, which are the usable endpoints of one priority.
    ///
    /// `seed` is for the first position, so that many processes that start together, and many updates in one
    /// process, do not all begin at the same endpoint.
    fn picker(&self, slots: &Slots, seed: u64) -> Box<dyn Picker>;
}

/// Chooses among the slots that it was built for. Choosing never blocks, takes no lock and allocates nothing.
pub trait Picker: Send + Sync + fmt::Debug {
    /// Chooses an endpoint that has not been tried.
    fn pick(&self, args: &mut PickArgs<'_>) -> Decision;
}

/// What a pick depends on, beside the snapshot.
#[non_exhaustive]
pub struct PickArgs<'a> {
    /// The time of the pick.
    pub now: Instant,
    /// Where random policies get their numbers from.
    pub rng: &'a mut dyn Rng,
    /// What this request has tried already.
    pub tried: &'a Tried,
}

impl<'a> PickArgs<'a> {
    /// The arguments of one pick.
    #[must_use]
    pub fn new(now: Instant, rng: &'a mut dyn Rng, tried: &'a Tried) -> Self {
        Self { now, rng, tried }
    }
}

impl fmt::Debug for PickArgs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PickArgs").field("now", &self.now).field("tried", &self.tried).finish_non_exhaustive()
    }
}

/// What a picker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the three answers are the contract: a caller has to handle each")]
pub enum Decision {
    /// Use this one: an index into the slots that the picker was built for.
    Endpoint(usize),
    /// There is nothing to choose from: wait for the next set.
    Wait,
    /// No endpoint will do for this request, and waiting does not help.
    Fail(PickError),
}

impl From<Option<usize>> for Decision {
    /// The choice, or that every endpoint was tried.
    fn from(chosen: Option<usize>) -> Self {
        chosen.map_or(Self::Fail(PickError::all_tried()), Self::Endpoint)
    }
}
