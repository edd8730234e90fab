//! The registry as a source of a resolver.
//!
//! | module | content |
//! |---|---|
//! | `cache` | the fetched registry, and what to fetch next; pure |
//! | `feed` | the task that fetches, for any number of names |
//! | `host_names` | the addresses of instances that are dialed by their host name |
//! | `lookup` | instances to the endpoints of one target |
//! | `names` | which names the registry may answer |
//! | `eureka_source` | the public source and its builder |

mod cache;
mod eureka_source;
mod feed;
mod host_names;
mod lookup;
mod names;

use std::time::Duration;

pub use cache::FetchCounts;
pub use eureka_source::{EurekaSource, EurekaSourceBuilder};

/// The settings of the cache. The builder fills them.
#[derive(Clone, Debug)]
struct FetchSettings {
    fetch_interval: Duration,
    full_fetch_interval: Duration,
    /// How long instances are kept after a registry lost them.
    max_stale: Duration,
    /// Whether deltas are fetched.
    delta: bool,
    /// How many instances the registry may list.
    max_instances: usize,
}
