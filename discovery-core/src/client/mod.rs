//! Resolver and Upstream: the one place that puts the floors together.
//!
//! ```text
//! Resolver ── one background task per target that somebody holds
//!    │           context   who and where we are; read again when resolv.conf changes
//!    │           chain     env → DNS → …, with every source's reason
//!    │           refresh   (state, update, now) → state + when to ask next   (pure, a floor above)
//!    ▼
//! Upstream ── a handle: reading and picking are lock-free and allocate nothing
//! ```

mod builder;
mod chain;
mod context_cell;
mod endpoint_map;
mod explain;
mod published;
mod resolver;
mod shared;
mod task;
mod upstream;
mod watch;

pub use builder::ResolverBuilder;
pub use endpoint_map::EndpointMap;
pub use explain::{Explanation, Step};
pub use published::Endpoints;
pub use resolver::Resolver;
pub use upstream::Upstream;
pub use watch::Watch;
