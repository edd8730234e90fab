//! Jitter.

use std::{ops::RangeInclusive, time::Duration};

use super::defaults::ABOVE_FLOOR;

/// A random `part` of `wait`; where that could fall below `floor`, a little more than the floor instead.
///
/// `jitter` is uniform in `[0, 1)`. No rounding leads below the floor or, without one, above `wait`.
pub(super) fn spread(
    wait: Duration,
    part: &RangeInclusive<f64>,
    floor: Duration,
    jitter: &mut dyn FnMut() -> f64,
) -> Duration {
    let roll = jitter();
    let roll = if roll.is_finite() { roll.clamp(0.0, 1.0) } else { 0.0 };
    if scaled(wait, *part.start()) < floor {
        scaled(floor, 1.0 + ABOVE_FLOOR * roll).max(floor)
    } else {
        scaled(wait, part.start() + (part.end() - part.start()) * roll).min(wait)
    }
}

/// `Duration::mul_f64` panics where this stays at the maximum.
fn scaled(wait: Duration, by: f64) -> Duration {
    Duration::try_from_secs_f64(wait.as_secs_f64() * by).unwrap_or(Duration::MAX)
}
