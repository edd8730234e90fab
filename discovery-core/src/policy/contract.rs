//! The traits of a policy.

use std::{cell::Cell, fmt, time::Instant};

use super::{LoadedEndpoints, PickError, Rng, Tried};

/// A load-balancing policy: builds a [`Picker`] for each new set of endpoints.
pub trait Policy: Send + Sync + fmt::Debug + 'static {
    /// Builds a picker for `endpoints`, the usable endpoints of one priority.
    ///
    /// `seed` determines the first position. It differs between processes and between updates, so that they do not all
    /// start at the same endpoint.
    fn picker(&self, endpoints: &LoadedEndpoints, seed: u64) -> Box<dyn Picker>;
}

/// Chooses among the endpoints that it was built for. Choosing never blocks, takes no lock and does not allocate.
pub trait Picker: Send + Sync + fmt::Debug {
    /// Chooses an endpoint that the request has not tried.
    fn pick(&self, args: &mut PickArgs<'_>) -> Decision;
}

/// A source of the current time, read only when it is needed.
///
/// Reading the clock takes as long as choosing an endpoint, and only failures and policies that measure time need it. A
/// caller that already knows the time passes an `Instant`; any other caller passes a function that reads the clock,
/// such as `Instant::now`.
pub trait Clock {
    /// Returns the current time.
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

/// The arguments of a pick.
#[non_exhaustive]
pub struct PickArgs<'a> {
    clock: &'a dyn Clock,
    now: Cell<Option<Instant>>,
    drop_clock: Option<fn() -> Instant>,
    /// The random numbers for policies that need them.
    pub rng: &'a mut dyn Rng,
    /// The endpoints that this request has already tried.
    pub tried: &'a Tried,
}

impl<'a> PickArgs<'a> {
    /// Creates the arguments of one pick.
    #[must_use]
    #[inline]
    pub fn new(clock: &'a dyn Clock, rng: &'a mut dyn Rng, tried: &'a Tried) -> Self {
        Self { clock, now: Cell::new(None), drop_clock: None, rng, tried }
    }

    /// Sets the function that reads the time when the [`Pick`](super::Pick) is dropped without an outcome. Without it,
    /// the request counts as dropped at the next pick that looks at its endpoint.
    #[must_use]
    #[inline]
    pub fn with_drop_clock(mut self, clock: fn() -> Instant) -> Self {
        self.drop_clock = Some(clock);
        self
    }

    pub(super) fn drop_clock(&self) -> Option<fn() -> Instant> {
        self.drop_clock
    }

    /// Returns the time of the pick. The first call reads the clock, and later calls return the same time. The
    /// [`Pick`](super::Pick) keeps it as the start of the request.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now.get().unwrap_or_else(|| {
            let now = self.clock.now();
            self.now.set(Some(now));
            now
        })
    }

    /// Returns the time of the pick, if a policy has called [`now`](Self::now).
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

/// The decision of a picker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the three answers are the contract: a caller has to handle each")]
pub enum Decision {
    /// Use the endpoint with this index, among those that the picker was built for.
    Endpoint(usize),
    /// The picker has no endpoints: wait for the next set.
    Wait,
    /// No endpoint is suitable for this request, and waiting does not help.
    Fail(PickError),
}

impl From<Option<usize>> for Decision {
    /// `None` means that every endpoint has been tried.
    fn from(chosen: Option<usize>) -> Self {
        chosen.map_or(Self::Fail(PickError::all_tried()), Self::Endpoint)
    }
}
