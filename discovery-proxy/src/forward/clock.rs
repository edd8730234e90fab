//! The one clock of the crate.

use std::time::Instant;

/// Reads the clock through tokio, so that a test that pauses time drives everything.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
