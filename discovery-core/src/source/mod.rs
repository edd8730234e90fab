//! Sources: where the resolver looks up the endpoints of a target.
//!
//! The contract is [`Source`], [`Lookup`] and [`Update`]. A source always returns the full state, never a delta. What
//! it learns about one target (which name has endpoints, whether responses are large) stays in the [`Lookup`] of that
//! target.

mod address_scope;
mod contract;
#[cfg(feature = "resolver")]
pub(crate) mod dns;
#[cfg(feature = "resolver")]
pub(crate) mod env;
#[cfg(feature = "resolver")]
pub(crate) mod fixed;
#[cfg(feature = "resolver")]
pub(crate) mod hosts;
pub mod kubernetes;
#[cfg(feature = "resolver")]
pub(crate) mod overrides;
#[cfg(feature = "resolver")]
pub(crate) mod routes;
#[cfg(feature = "resolver")]
mod stand_in;
mod update;
#[cfg(feature = "resolver")]
mod urgency;

pub use address_scope::AddressScope;
pub use contract::{BoxFuture, Lookup, Source};
#[cfg(feature = "resolver")]
pub(crate) use stand_in::stand_in;
pub use update::{AddressKind, Evidence, State, Update};
#[cfg(feature = "resolver")]
pub(crate) use urgency::{RoundUrgency, Urgency};
