//! The registry as a source of a resolver.
//!
//! | | |
//! |---|---|
//! | memory | what is known, and what to fetch next: pure |
//! | endpoints | instances and a target to endpoints: pure |
//! | feed | the one task that fetches, for any number of names |
//! | lookup, eureka_source | the contract of a [`Source`](discovery_core::source::Source) |

mod builder;
mod endpoints;
mod eureka_source;
mod feed;
mod lookup;
mod memory;

pub use builder::EurekaSourceBuilder;
pub use eureka_source::EurekaSource;
pub use memory::FetchCounts;
