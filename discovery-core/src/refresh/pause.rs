//! How long until the next question.

use std::time::Duration;

/// `min` doubled `times` times, at most `max`, spread by 20 % to either side so that those who failed
/// together do not come back together.
pub(super) fn growing(min: Duration, max: Duration, times: u32, jitter: &mut dyn FnMut() -> f64) -> Duration {
    let grown = min.saturating_mul(2_u32.saturating_pow(times.min(16))).min(max);
    grown.mul_f64(0.8 + 0.4 * jitter()).min(max)
}

/// Some time before `ttl` is over: 80 to 90 % of it, so that nobody ever waits for an expired answer and a
/// thousand watchers spread over a tenth of the interval. At the floor the spread goes upwards.
pub(super) fn before_expiry(ttl: Duration, min: Duration, max: Duration, jitter: &mut dyn FnMut() -> f64) -> Duration {
    let ttl = ttl.clamp(min, max.max(min));
    let early = ttl.mul_f64(0.8 + 0.1 * jitter());
    if early >= min { early } else { min.mul_f64(1.0 + 0.1 * jitter()) }
}
