//! Seeds for jitter and for the choice of a registry URL.

use std::hash::BuildHasher as _;

/// Returns a seed that differs between processes and calls: the operating system provides the keys of the standard
/// library's hasher.
pub(crate) fn seed() -> u64 {
    std::hash::RandomState::new().hash_one(0_u64)
}
