//! What is known of the registry, and what to fetch next. Pure.

use std::time::{Duration, Instant};

use crate::{
    Error,
    model::{Action, Applications, Page},
};

/// When things are fetched, and for how long they are believed.
#[derive(Clone, Debug)]
pub(super) struct Timing {
    pub(super) interval: Duration,
    pub(super) full_fetch_interval: Duration,
    pub(super) hold: Duration,
}

/// A server forgets a change after 180 s (`retentionTimeInMSInDeltaQueue`): a delta says too little after a longer silence.
const DELTA_REACHES: Duration = Duration::from_secs(150);

/// The first wait after a failure; each further one is twice as long, up to the interval.
const RETRY: Duration = Duration::from_secs(1);

/// What to fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fetch {
    Full,
    Delta,
}

/// How often the registry was fetched, and how that went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FetchCounts {
    /// Full answers.
    pub full: u64,
    /// Deltas that were applied.
    pub delta: u64,
    /// Deltas after which the hash was another than the server's. One now and then is normal, and more are where a balancer
    /// alternates between the registry's nodes; each costs a full fetch.
    pub mismatched: u64,
    /// Fetches that failed.
    pub failed: u64,
    /// Times that the registry had lost most of what it knew.
    pub emptied: u64,
}

#[derive(Debug)]
pub(super) struct Memory {
    timing: Timing,
    /// Deltas make no sense where only a part is fetched.
    deltas: bool,
    known: Applications,
    /// What the registry knew before it lost its memory, and until when that counts.
    before: Option<(Applications, Instant)>,
    /// What both say together, while there is a before.
    merged: Option<Applications>,
    pub(super) counts: FetchCounts,
    /// Why the last fetch failed, if it did.
    pub(super) error: Option<Error>,
    last_good: Option<Instant>,
    last_full: Option<Instant>,
    failures: u32,
    /// A fetch is on its way that readers wait for.
    awaited: bool,
    next_at: Option<Instant>,
    /// Counts what readers would see differently.
    pub(super) version: u64,
}

impl Memory {
    pub(super) fn new(timing: Timing, deltas: bool) -> Self {
        Self {
            timing,
            deltas,
            known: Applications::default(),
            before: None,
            merged: None,
            counts: FetchCounts::default(),
            error: None,
            last_good: None,
            last_full: None,
            failures: 0,
            awaited: true,
            next_at: None,
            version: 0,
        }
    }

    /// What there is, as readers see it; `None` before the first answer.
    pub(super) fn applications(&self) -> Option<&Applications> {
        self.last_good.map(|_| self.merged.as_ref().unwrap_or(&self.known))
    }

    /// Whether what comes next is worth waiting for.
    pub(super) fn is_awaited(&self) -> bool {
        self.awaited
    }

    /// How many instances are from before the registry lost its memory.
    pub(super) fn kept(&self) -> usize {
        self.merged.as_ref().map_or(0, |merged| merged.len() - self.known.len())
    }

    /// Somebody begins to fetch, maybe after a pause.
    pub(super) fn begin(&mut self, now: Instant) {
        self.awaited |= self.next_at.is_none_or(|at| at <= now);
    }

    /// What to fetch now, or when to look again.
    pub(super) fn next(&self, now: Instant) -> Result<Fetch, Instant> {
        match self.next_at {
            Some(at) if at > now => Err(self.before.as_ref().map_or(at, |(_, until)| at.min(*until).max(now))),
            _ => Ok(self.kind(now)),
        }
    }

    fn kind(&self, now: Instant) -> Fetch {
        let older = |at: Option<Instant>, limit| at.is_none_or(|at| now.saturating_duration_since(at) >= limit);
        let full = !self.deltas
            || self.known.is_empty()
            || older(self.last_good, DELTA_REACHES)
            || older(self.last_full, self.timing.full_fetch_interval);
        if full { Fetch::Full } else { Fetch::Delta }
    }

    pub(super) fn on_full(&mut self, page: Page, now: Instant, part: f64) {
        let fetched = Applications::of(page);
        self.counts.full += 1;
        // A registry that was restarted knows nobody; its instances come back with their heartbeats. Where removals are told
        // by deltas, a full answer is none of them.
        let lost = self.known.iter().filter(|instance| !fetched.contains(instance)).count();
        if self.deltas && lost * 2 > self.known.len() && !self.timing.hold.is_zero() {
            self.counts.emptied += 1;
            let before =
                std::mem::take(&mut self.known).over(&self.before.take().map_or_else(Applications::default, |b| b.0));
            self.before = Some((before, now + self.timing.hold));
            self.version += 1;
        }
        if fetched != self.known {
            self.known = fetched;
            self.version += 1;
        }
        self.last_full = Some(now);
        self.good(now, part);
    }

    /// Applies a delta; false where the hash says that it was not enough.
    pub(super) fn on_delta(&mut self, delta: Page, now: Instant, part: f64) -> bool {
        let hash = delta.hash.clone();
        self.version += u64::from(!delta.entries.is_empty());
        if let Some((before, _)) = &mut self.before {
            for (_, gone) in delta.entries.iter().filter(|(action, _)| *action == Action::Deleted) {
                before.remove(gone);
            }
        }
        self.known.apply(delta);
        let right = hash.is_none_or(|hash| hash == self.known.hash());
        if right {
            self.counts.delta += 1;
            self.good(now, part);
        } else {
            self.counts.mismatched += 1;
            self.merge(now);
        }
        right
    }

    /// `part` is how much of a wait is waited, so that a thousand clients spread.
    pub(super) fn on_failure(&mut self, error: Error, now: Instant, part: f64) {
        self.counts.failed += 1;
        self.version += u64::from(self.error.is_none() || self.awaited);
        self.error = Some(error);
        self.awaited = false;
        let pause = RETRY.saturating_mul(1 << self.failures.min(16)).min(self.timing.interval);
        self.failures = self.failures.saturating_add(1);
        self.next_at = Some(now + pause.mul_f64(part));
        self.merge(now);
    }

    /// Drops what is too old to be believed.
    pub(super) fn on_time(&mut self, now: Instant) {
        self.merge(now);
    }

    fn good(&mut self, now: Instant, part: f64) {
        self.version += u64::from(self.error.take().is_some() || self.awaited);
        self.awaited = false;
        self.failures = 0;
        self.last_good = Some(now);
        self.next_at = Some(now + self.timing.interval.mul_f64(part));
        self.merge(now);
    }

    fn merge(&mut self, now: Instant) {
        let Some((before, until)) = &self.before else { return };
        if *until <= now || before.iter().all(|instance| self.known.contains(instance)) {
            self.before = None;
            self.merged = None;
            self.version += 1;
        } else {
            self.merged = Some(self.known.over(before));
        }
    }
}

#[cfg(test)]
mod tests;
