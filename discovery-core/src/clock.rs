//! The one clock of the crate.

use std::time::Instant;

/// Reads the clock through Tokio, so that a test that pauses time controls everything.
///
/// It is the monotonic clock, which never goes back and, on Linux, stops while the machine is suspended.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
