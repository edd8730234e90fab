//! The registry as a source of a resolver.
//!
//! | | |
//! |---|---|
//! | memory | what is known, and what to fetch next: pure |
//! | endpoints | instances and a target to endpoints: pure |
//! | feed | the one task that fetches, for any number of names |
//! | lookup, source | the contract of a [`Source`](discovery_core::source::Source) |

mod builder;
mod endpoints;
mod feed;
mod lookup;
mod memory;
#[expect(clippy::module_inception, reason = "the source itself, beside its parts")]
mod source;

pub use builder::EurekaSourceBuilder;
pub use memory::FetchCounts;
pub use source::EurekaSource;
