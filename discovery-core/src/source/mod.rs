//! Sources: what can be asked for a target.
//!
//! The contract ([`Source`], [`Lookup`], [`Update`]) is here; each source has a folder of its own. A source
//! always tells the full state, never a delta, and keeps what it has learned about one target (which name
//! won, whether answers are large) in the target's own [`Lookup`].

mod contract;
#[cfg(feature = "resolver")]
pub(crate) mod dns;
#[cfg(feature = "resolver")]
pub(crate) mod env;
#[cfg(feature = "resolver")]
pub(crate) mod fixed;
pub mod kubernetes;
#[cfg(feature = "resolver")]
pub(crate) mod routes;
mod update;

pub use contract::{BoxFuture, Lookup, Source};
pub use update::{Evidence, State, Update};
