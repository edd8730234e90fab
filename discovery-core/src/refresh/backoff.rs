//! Waits that double.

use std::time::Duration;

/// How often in a row something was in vain.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    tries: u32,
}

impl Backoff {
    /// Counts one more vain try: `initial`, and twice as much each time, up to `max`.
    pub(super) fn step(&mut self, initial: Duration, max: Duration) -> Duration {
        let factor = 1_u32.checked_shl(self.tries).unwrap_or(u32::MAX);
        self.tries = self.tries.saturating_add(1);
        initial.saturating_mul(factor).min(max)
    }

    /// It was not in vain.
    pub(super) fn reset(&mut self) {
        self.tries = 0;
    }
}
