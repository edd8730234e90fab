//! The one source of entropy.

use std::{cell::RefCell, hash::BuildHasher};

use crate::policy::{Rng, SplitMix64};

/// Returns a seed that differs between processes and calls, from the standard library's hasher keys, which come from
/// the operating system.
#[expect(clippy::disallowed_methods, reason = "the one place that reads entropy")]
pub(crate) fn seed() -> u64 {
    std::hash::RandomState::new().hash_one(0_u64)
}

thread_local! {
    static GENERATOR: RefCell<SplitMix64> = RefCell::new(SplitMix64::with_seed(seed()));
}

/// The random number generator of the current thread, seeded by the operating system: the [`Rng`] to pass to
/// [`Snapshot::pick`](crate::policy::Snapshot::pick) outside of tests.
///
/// The value itself is empty, so creating one costs nothing. Its numbers are good enough to spread load, and unsuitable
/// for secrets.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct ThreadRng;

impl ThreadRng {
    /// Returns the generator of the current thread.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Rng for ThreadRng {
    fn next_u64(&mut self) -> u64 {
        GENERATOR.with_borrow_mut(Rng::next_u64)
    }
}

/// Returns a number uniform in `[0, 1)`, with the 53 bits that an `f64` holds.
#[cfg(feature = "resolver")]
pub(crate) fn unit() -> f64 {
    (ThreadRng::new().next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}
