//! The two clocks: the time of day, and the one that deadlines count by.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// The time of day when it was made, and tokio's clock since: it never goes back, and a test that pauses time drives it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wall {
    base: u64,
    made: Instant,
}

impl Wall {
    pub(crate) fn new() -> Self {
        let base = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { base: millis(base), made: Instant::now() }
    }

    /// Milliseconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        self.base.saturating_add(millis(self.made.elapsed()))
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Reads the monotonic clock through tokio, so that a test that pauses time drives everything.
pub(crate) fn now() -> std::time::Instant {
    Instant::now().into_std()
}
