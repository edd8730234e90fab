//! How often to ask and how long to believe.

use std::time::Duration;

use super::{SettingsError, defaults};

/// How often to ask and how long to believe; a value of this type is always consistent.
///
/// Settings that bound each other are set together.
///
/// ```
/// use discovery_core::refresh::RefreshSettings;
/// use std::time::Duration;
///
/// let settings = RefreshSettings::default().with_refresh(Duration::from_secs(5), Duration::from_secs(60))?;
/// assert_eq!(settings.max_refresh(), Duration::from_secs(60));
///
/// let error = settings.with_refresh(Duration::from_secs(60), Duration::from_secs(5)).unwrap_err();
/// assert_eq!(error.setting(), "min_refresh");
/// # Ok::<(), discovery_core::refresh::SettingsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshSettings {
    min_refresh: Duration,
    max_refresh: Duration,
    max_stale: Duration,
    removal_hold: Duration,
    confirm_after: Duration,
    negative_max: Duration,
    negative_max_waiting: Duration,
    backoff_initial: Duration,
    backoff_max: Duration,
    failure_refresh_min: Duration,
}

impl Default for RefreshSettings {
    fn default() -> Self {
        Self {
            min_refresh: defaults::MIN_REFRESH,
            max_refresh: defaults::MAX_REFRESH,
            max_stale: defaults::MAX_STALE,
            removal_hold: defaults::REMOVAL_HOLD,
            confirm_after: defaults::CONFIRM_AFTER,
            negative_max: defaults::NEGATIVE_MAX,
            negative_max_waiting: defaults::NEGATIVE_MAX_WAITING,
            backoff_initial: defaults::BACKOFF_INITIAL,
            backoff_max: defaults::BACKOFF_MAX,
            failure_refresh_min: defaults::FAILURE_REFRESH_MIN,
        }
    }
}

impl RefreshSettings {
    /// Bounds the TTL of good answers; 1 s and 30 s.
    ///
    /// # Errors
    ///
    /// `min` is zero or longer than `max`.
    pub fn with_refresh(mut self, min: Duration, max: Duration) -> Result<Self, SettingsError> {
        (self.min_refresh, self.max_refresh) = ordered(("min_refresh", min), max, "must not exceed `max_refresh`")?;
        Ok(self)
    }

    /// Bounds the wait after failures, which doubles from one to the next; 100 ms and 5 s.
    ///
    /// # Errors
    ///
    /// `initial` is zero or longer than `max`.
    pub fn with_backoff(mut self, initial: Duration, max: Duration) -> Result<Self, SettingsError> {
        (self.backoff_initial, self.backoff_max) =
            ordered(("backoff_initial", initial), max, "must not exceed `backoff_max`")?;
        Ok(self)
    }

    /// Bounds how long "no such name" and "no endpoints" hold: while somebody waits for endpoints, and
    /// otherwise; 1 s and 5 s. Never more often than once a second all the same.
    ///
    /// # Errors
    ///
    /// `waiting` is zero or longer than `otherwise`.
    pub fn with_negative(mut self, waiting: Duration, otherwise: Duration) -> Result<Self, SettingsError> {
        (self.negative_max_waiting, self.negative_max) =
            ordered(("negative_max_waiting", waiting), otherwise, "must not exceed `negative_max`")?;
        Ok(self)
    }

    /// Sets how old the last good answer may be when a question fails, for its endpoints to be kept; 5 min.
    /// When it is shorter than the time between two questions, the first failure drops them.
    #[must_use]
    pub fn with_max_stale(mut self, age: Duration) -> Self {
        self.max_stale = age;
        self
    }

    /// Sets how long an endpoint must be missing before it is removed; 1 s. Zero removes at once.
    #[must_use]
    pub fn with_removal_hold(mut self, hold: Duration) -> Self {
        self.removal_hold = hold;
        self
    }

    /// Sets how much later "no such name" and "no endpoints" are asked for again before they are believed of
    /// a target that had endpoints; 1 s.
    #[must_use]
    pub fn with_confirm_after(mut self, wait: Duration) -> Self {
        self.confirm_after = wait;
        self
    }

    /// Sets the shortest time between two questions that connect failures cause; 1 s. Never more often than
    /// once a second all the same.
    #[must_use]
    pub fn with_failure_refresh_min(mut self, wait: Duration) -> Self {
        self.failure_refresh_min = wait;
        self
    }

    /// The shortest TTL that is honoured.
    #[must_use]
    pub fn min_refresh(&self) -> Duration {
        self.min_refresh
    }

    /// The longest TTL that is honoured.
    #[must_use]
    pub fn max_refresh(&self) -> Duration {
        self.max_refresh
    }

    /// The age of the last good answer beyond which a failure drops its endpoints.
    #[must_use]
    pub fn max_stale(&self) -> Duration {
        self.max_stale
    }

    /// How long an endpoint must be missing before it is removed.
    #[must_use]
    pub fn removal_hold(&self) -> Duration {
        self.removal_hold
    }

    /// How much later the loss of all endpoints is asked for again.
    #[must_use]
    pub fn confirm_after(&self) -> Duration {
        self.confirm_after
    }

    /// The longest time that a negative answer holds.
    #[must_use]
    pub fn negative_max(&self) -> Duration {
        self.negative_max
    }

    /// The longest time that a negative answer holds while somebody waits.
    #[must_use]
    pub fn negative_max_waiting(&self) -> Duration {
        self.negative_max_waiting
    }

    /// The wait after the first failure.
    #[must_use]
    pub fn backoff_initial(&self) -> Duration {
        self.backoff_initial
    }

    /// The longest wait after a failure.
    #[must_use]
    pub fn backoff_max(&self) -> Duration {
        self.backoff_max
    }

    /// The shortest time between two questions that connect failures cause.
    #[must_use]
    pub fn failure_refresh_min(&self) -> Duration {
        self.failure_refresh_min
    }

    /// The shortest time between two questions: one second, or `min_refresh` where that is shorter.
    pub(super) fn spacing(&self) -> Duration {
        self.min_refresh.min(defaults::SPACING)
    }
}

fn ordered(
    (setting, low): (&'static str, Duration),
    high: Duration,
    rule: &'static str,
) -> Result<(Duration, Duration), SettingsError> {
    if low.is_zero() {
        return Err(SettingsError::new(setting, "must not be zero"));
    }
    if low > high {
        return Err(SettingsError::new(setting, rule));
    }
    Ok((low, high))
}
