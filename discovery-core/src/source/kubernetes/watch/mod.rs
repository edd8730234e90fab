//! The watches of one namespace: requests to the API server, and nothing decided.
//!
//! ```text
//! Feed ── one per namespace that somebody asks about, with one task
//!   ├─ Reflector<Slice>     list, then watch; again and again       ──▶ Picture (plain types, behind a lock)
//!   └─ Reflector<Service>                                           ──▶
//! ```

mod connection;
mod failure;
mod feed;
mod pace;
mod reflect;
mod registry;
mod resource;
mod wire;

pub(super) use connection::Connection;
pub(super) use feed::Lease;
pub(super) use pace::Timing;
pub(super) use registry::Registry;
