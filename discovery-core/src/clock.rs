//! The one clock of the crate.

use std::time::Instant;

/// Reads the clock, through tokio so that a test that pauses time drives everything.
///
/// It is the monotonic clock: it does not move while a machine is suspended, and never goes back.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
