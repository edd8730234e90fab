//! What a policy is.

use std::{cell::Cell, fmt, time::Instant};

use super::{LoadedEndpoints, PickError, Rng, Tried};

/// A way to choose: builds a [`Picker`] for each new set of endpoints.
pub trait Policy: Send + Sync + fmt::Debug + 'static {
    /// A picker for `slots`, which are the usable endpoints of one priority.
    ///
    /// `seed` is for the first position, so that many processes that start together, and many updates in one
    /// process, do not all begin at the same endpoint.
    fn picker(&self, slots: &LoadedEndpoints, seed: u64) -> Box<dyn Picker>;
}

/// Chooses among the slots that it was built for. Choosing never blocks, takes no lock and allocates nothing.
pub trait Picker: Send + Sync + fmt::Debug {
    /// Chooses an endpoint that has not been tried.
    fn pick(&self, args: &mut PickArgs<'_>) -> Decision;
}

/// Tells the time when it is asked: a moment, which is always the same, or a function that reads a clock, such
/// as `Instant::now`.
///
/// NameKind the clock takes as long as choosing an endpoint, and only failures and the policies that measure time need
/// it. Whoever knows the time passes it; whoever would have to read it passes the function.
pub trait Clock {
    /// Now.
    fn now(&self) -> Instant;
}

impl Clock for Instant {
    fn now(&self) -> Instant {
        *self
    }
}

impl<F: Fn() -> Instant> Clock for F {
    fn now(&self) -> Instant {
        self()
    }
}

/// What a pick depends on, beside the snapshot.
#[non_exhaustive]
pub struct PickArgs<'a> {
    clock: &'a dyn Clock,
    now: Cell<Option<Instant>>,
    /// Where random policies get their numbers from.
    pub rng: &'a mut dyn Rng,
    /// What this request has tried already.
    pub tried: &'a Tried,
}

impl<'a> PickArgs<'a> {
    /// The arguments of one pick.
    #[must_use]
    #[inline]
    pub fn new(clock: &'a dyn Clock, rng: &'a mut dyn Rng, tried: &'a Tried) -> Self {
        Self { clock, now: Cell::new(None), rng, tried }
    }

    /// The time of the pick. The clock is read when a policy asks for the first time; what it said then holds for the
    /// whole pick, and the [`Pick`](super::Pick) knows it as its beginning.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now.get().unwrap_or_else(|| {
            let now = self.clock.now();
            self.now.set(Some(now));
            now
        })
    }

    /// The time of the pick, if a policy has asked for it.
    #[must_use]
    #[inline]
    pub fn pick_time(&self) -> Option<Instant> {
        self.now.get()
    }
}

impl fmt::Debug for PickArgs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PickArgs").field("now", &self.now.get()).field("tried", &self.tried).finish_non_exhaustive()
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
