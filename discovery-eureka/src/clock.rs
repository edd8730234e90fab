//! The two clocks: the time of day for time stamps, and the monotonic clock for deadlines.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// A time of day that never goes back: it is read once, and advances with tokio's clock, so that a test can pause it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WallClock {
    started_at: u64,
    started: Instant,
}

impl WallClock {
    pub(crate) fn new() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started_at: millis(since_epoch), started: Instant::now() }
    }

    /// Returns milliseconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        self.started_at.saturating_add(millis(self.started.elapsed()))
    }
}

/// Reads the monotonic clock through tokio, so that a test can pause it.
pub(crate) fn now() -> std::time::Instant {
    Instant::now().into_std()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
