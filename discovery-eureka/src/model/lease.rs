//! How long a registry keeps a record.

use std::time::Duration;

/// The lease of an instance, as the registry holds it. Times are in milliseconds since 1970, by the registry's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lease {
    /// The interval between the instance's heartbeats, in whole seconds; `None` if the record has none.
    pub renewal_interval: Option<Duration>,
    /// How long the lease lasts without a heartbeat, in whole seconds; `None` if the record has none. A server doubles
    /// it once the instance has sent a heartbeat (Netflix/eureka#1450).
    pub duration: Option<Duration>,
    /// When the instance registered first.
    pub registered_at: Option<u64>,
    /// When the lease was renewed last. A server stores the time of the heartbeat plus [`duration`](Self::duration), so
    /// it may lie in the future (Netflix/eureka#1450).
    pub renewed_at: Option<u64>,
    /// When the instance was evicted or cancelled; `None` while it is registered.
    pub evicted_at: Option<u64>,
    /// When the instance was UP first.
    pub up_since: Option<u64>,
}
