//! How the source is configured.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    eureka_source::EurekaSource,
    feed::Feed,
    memory::{Memory, Timing},
};
use crate::{Error, registry::Registry, seed};
use discovery_reqwest::Client;

/// How often the registry is fetched: the Java client's `registryFetchIntervalSeconds`, and a server's cache is as old.
const INTERVAL: Duration = Duration::from_secs(30);

/// How often all of it is fetched although the hash is right: a hash of counts misses a change that keeps them.
const FULL_EVERY: Duration = Duration::from_secs(5 * 60);

/// How long instances count that a registry has lost with its memory: they come back with their next heartbeat, 30 s, and
/// what the server caches is another 30 s old.
const HOLD: Duration = Duration::from_secs(90);

/// Configures an [`EurekaSource`].
#[must_use = "call `build`"]
pub struct EurekaSourceBuilder {
    client: Client,
    url: String,
    vip: Option<String>,
    zone: Option<String>,
    deltas: bool,
    timing: Timing,
}

impl EurekaSourceBuilder {
    pub(super) fn new(client: Client, url: String) -> Self {
        let timing = Timing { interval: INTERVAL, full_fetch_interval: FULL_EVERY, hold: HOLD };
        Self { client, url, vip: None, zone: None, deltas: true, timing }
    }

    /// Fetches this VIP alone, always in full; about other names the source is silent. Exactly as it is registered: a
    /// server compares case here.
    pub fn vip(mut self, vip: impl Into<String>) -> Self {
        self.vip = Some(vip.into());
        self
    }

    /// Prefers instances whose `metadata.zone` is this: the others are used when all of those have failed.
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// Fetches the registry this often, less a jitter of up to a tenth; 30 s by default. Above 0.
    pub fn fetch_interval(mut self, interval: Duration) -> Self {
        self.timing.interval = interval;
        self
    }

    /// Fetches all of it this often although the hash is right; 5 min by default.
    pub fn full_fetch_interval(mut self, every: Duration) -> Self {
        self.timing.full_fetch_interval = every;
        self
    }

    /// Fetches all of it each time.
    pub fn disable_delta(mut self) -> Self {
        self.deltas = false;
        self
    }

    /// Keeps the instances of a registry that has lost more than half of them from one fetch to the next, until they are there
    /// again, and for this long at most; 90 s by default, 0 to believe it at once. Without deltas it is believed at once,
    /// since nothing else tells of a removal there.
    pub fn max_stale(mut self, hold: Duration) -> Self {
        self.timing.hold = hold;
        self
    }

    /// Makes the source. Nothing is asked yet.
    ///
    /// # Errors
    /// [`Error::is_config`] when the URL is none of a registry, or the interval is 0.
    pub fn build(self) -> Result<EurekaSource, Error> {
        if self.timing.interval.is_zero() {
            return Err(Error::config("an interval of 0 between two fetches: give one above it; 30 s is the default"));
        }
        let registry = Registry::new(&self.client, &self.url, seed())?;
        let memory = Memory::new(self.timing, self.deltas && self.vip.is_none());
        let feed = Feed::new(Arc::new(registry), self.vip, memory);
        Ok(EurekaSource::assemble(feed, self.zone))
    }
}

impl fmt::Debug for EurekaSourceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        f.debug_struct("EurekaSourceBuilder").field("vip", &self.vip).field("zone", &self.zone).finish_non_exhaustive()
    }
}
