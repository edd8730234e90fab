//! The fetched registry, and what to fetch next. Pure.

use std::time::{Duration, Instant};

use super::FetchSettings;
use crate::{
    Error,
    model::{Action, Applications, Page},
};

/// How old the latest fetch may be for a delta to cover the gap: a server drops changes after 180 s
/// (`retentionTimeInMSInDeltaQueue`).
const DELTA_RETENTION: Duration = Duration::from_secs(150);

/// The first retry delay; it doubles with each further failure, up to the fetch interval.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// The kind of a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fetch {
    Full,
    Delta,
}

/// How often the registry was fetched, and with what outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FetchCounts {
    /// Full fetches.
    pub full: u64,
    /// Deltas that were applied.
    pub delta: u64,
    /// Deltas after which the hash differed from the server's. An occasional mismatch is normal; many of them mean that
    /// a load balancer alternates between registry nodes. Each one costs a full fetch.
    pub mismatched: u64,
    /// Fetches that failed.
    pub failed: u64,
    /// How often the registry had lost more than half of its instances.
    pub emptied: u64,
}

/// The fetched registry.
#[derive(Debug)]
pub(super) struct RegistryCache {
    settings: FetchSettings,
    current: Applications,
    /// False after the server refused a delta.
    server_has_deltas: bool,
    lost: Option<LostInstances>,
    counts: FetchCounts,
    /// The error of the latest fetch, if it failed.
    error: Option<Error>,
    last_success: Option<Instant>,
    last_full: Option<Instant>,
    failures: u32,
    /// Readers wait for the fetch in flight.
    awaited: bool,
    next_at: Option<Instant>,
    /// Increases with every change that readers can see.
    version: u64,
}

/// What the registry held before it lost most of its instances.
#[derive(Debug)]
struct LostInstances {
    before: Applications,
    until: Instant,
    /// The current instances, and those from before.
    merged: Applications,
}

impl RegistryCache {
    pub(super) fn new(settings: FetchSettings) -> Self {
        Self {
            settings,
            current: Applications::default(),
            server_has_deltas: true,
            lost: None,
            counts: FetchCounts::default(),
            error: None,
            last_success: None,
            last_full: None,
            failures: 0,
            awaited: true,
            next_at: None,
            version: 0,
        }
    }

    /// Returns the instances that readers see; `None` before the first successful fetch.
    pub(super) fn applications(&self) -> Option<&Applications> {
        self.last_success.map(|_| self.lost.as_ref().map_or(&self.current, |lost| &lost.merged))
    }

    pub(super) fn counts(&self) -> FetchCounts {
        self.counts
    }

    pub(super) fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Returns whether readers should wait for the fetch in flight.
    pub(super) fn is_awaited(&self) -> bool {
        self.awaited
    }

    /// Returns how many instances are kept although the registry lost them.
    pub(super) fn stale_instances(&self) -> usize {
        self.lost.as_ref().map_or(0, |lost| lost.merged.len() - self.current.len())
    }

    /// Starts to fetch, perhaps after a time without readers.
    pub(super) fn start(&mut self, now: Instant) {
        self.awaited |= self.next_at.is_none_or(|at| at <= now);
    }

    /// Returns what to fetch now, or the time of the next call.
    pub(super) fn next(&self, now: Instant) -> Result<Fetch, Instant> {
        match self.next_at {
            Some(at) if at > now => Err(self.lost.as_ref().map_or(at, |lost| at.min(lost.until).max(now))),
            _ => Ok(self.kind(now)),
        }
    }

    /// Returns how many instances the registry may list.
    pub(super) fn max_instances(&self) -> usize {
        self.settings.max_instances
    }

    fn kind(&self, now: Instant) -> Fetch {
        let is_older = |at: Option<Instant>, limit| at.is_none_or(|at| now.saturating_duration_since(at) >= limit);
        let full = !self.settings.delta
            || self.current.is_empty()
            || is_older(self.last_success, DELTA_RETENTION)
            || is_older(self.last_full, self.settings.full_fetch_interval);
        if full { Fetch::Full } else { Fetch::Delta }
    }

    /// Takes in a full fetch. `jitter` is the part of the next interval to wait, so that a thousand clients spread.
    pub(super) fn on_full(&mut self, page: Page, now: Instant, jitter: f64) {
        let fetched = Applications::from_page(page);
        self.counts.full += 1;
        // A restarted registry is empty, and its instances return with their heartbeats. With deltas on, removals
        // arrive as deltas, so a full fetch without most instances means that the registry lost them.
        let missing = self.current.missing_from(&fetched);
        let deltas = self.settings.delta && self.server_has_deltas;
        if deltas && missing * 2 > self.current.len() && !self.settings.max_stale.is_zero() {
            self.keep_lost_instances(now);
        }
        // Heartbeats change the leases only, which no endpoint depends on.
        self.version += u64::from(!fetched.is_same_but_leases(&self.current));
        self.current = fetched;
        self.last_full = Some(now);
        self.on_success(now, jitter);
    }

    /// Applies a delta; returns false if the hash shows that changes are missing, or if the registry would have more
    /// instances than it may: a full fetch decides.
    pub(super) fn on_delta(&mut self, delta: Page, now: Instant, jitter: f64) -> bool {
        let new = delta.entries.iter().filter(|(_, instance)| !self.current.contains(instance)).count();
        if self.current.len() + new > self.settings.max_instances {
            return false;
        }
        self.server_has_deltas = true;
        let hash = delta.hash.clone();
        self.version += u64::from(!delta.entries.is_empty());
        if let Some(lost) = &mut self.lost {
            for (_, instance) in delta.entries.iter().filter(|(action, _)| *action == Action::Deleted) {
                lost.before.remove(instance);
            }
        }
        self.current.apply(delta);
        let matches = hash.is_none_or(|hash| hash == self.current.hash());
        if matches {
            self.counts.delta += 1;
            self.on_success(now, jitter);
        } else {
            self.counts.mismatched += 1;
            self.merge(now);
        }
        matches
    }

    /// Takes in that the server refused a delta, or sent one that cannot be read. Until it sends one, removals arrive
    /// with full fetches only.
    pub(super) fn on_delta_refused(&mut self) {
        self.server_has_deltas = false;
    }

    /// Takes in a failed fetch.
    pub(super) fn on_failure(&mut self, error: Error, now: Instant, jitter: f64) {
        self.counts.failed += 1;
        self.version += u64::from(self.error.is_none() || self.awaited);
        self.error = Some(error);
        self.awaited = false;
        let delay = FIRST_RETRY.saturating_mul(1 << self.failures.min(16)).min(self.settings.fetch_interval);
        self.failures = self.failures.saturating_add(1);
        self.next_at = Some(now + delay.mul_f64(jitter));
        self.merge(now);
    }

    /// Drops lost instances after `max_stale`.
    pub(super) fn on_timer(&mut self, now: Instant) {
        self.merge(now);
    }

    fn on_success(&mut self, now: Instant, jitter: f64) {
        self.version += u64::from(self.error.take().is_some() || self.awaited);
        self.awaited = false;
        self.failures = 0;
        self.last_success = Some(now);
        self.next_at = Some(now + self.settings.fetch_interval.mul_f64(jitter));
        self.merge(now);
    }

    fn keep_lost_instances(&mut self, now: Instant) {
        self.counts.emptied += 1;
        let mut before = std::mem::take(&mut self.current);
        if let Some(earlier) = self.lost.take() {
            before = before.merged_with(&earlier.before);
        }
        // `merge` fills `merged`, once the fetched instances are current.
        let merged = Applications::default();
        self.lost = Some(LostInstances { before, until: now + self.settings.max_stale, merged });
        self.version += 1;
    }

    fn merge(&mut self, now: Instant) {
        let Some(lost) = &mut self.lost else { return };
        if lost.until <= now || lost.before.missing_from(&self.current) == 0 {
            self.lost = None;
            self.version += 1;
        } else {
            lost.merged = self.current.merged_with(&lost.before);
        }
    }
}

#[cfg(test)]
mod tests;
