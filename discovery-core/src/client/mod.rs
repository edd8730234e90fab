//! `Resolver` and `Upstream`: the one place that puts the pure modules and the I/O together.
//!
//! ```text
//! Resolver ── one background task per target in use
//!    │           context   namespace, cluster domain, nameservers; detected again when resolv.conf changes
//!    │           chain     queries env → DNS → …, and keeps every source's reason
//!    │           refresh   (state, update, now) → state + when to query next   (pure)
//!    ▼
//! Upstream ── a handle; reading and picking are lock-free and do not allocate
//! ```

mod address_filter;
mod attention;
mod builder;
mod chain;
mod context_cell;
mod endpoint_map;
mod explain;
mod lease;
mod probe;
mod published;
mod removal;
mod reports;
mod resolver;
mod state;
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
