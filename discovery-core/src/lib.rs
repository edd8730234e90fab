//! x
#[cfg(feature = "resolver")]
mod client;
pub mod context;
pub mod endpoint;
mod error;
pub mod name;
pub mod plan;
pub mod policy;
pub mod refresh;
pub mod source;

#[cfg(feature = "resolver")]
pub use client::{Attached, Endpoints, Explanation, Resolver, ResolverBuilder, Step, Surroundings, Upstream, Watch};
pub use error::Error;
