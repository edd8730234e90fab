//! The crate's only access to the clock.

use std::time::Instant;

/// Reads the clock through tokio, so that tests can pause and advance time.
#[expect(clippy::disallowed_methods, reason = "the only place that reads the clock")]
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
