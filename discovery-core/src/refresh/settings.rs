//! The refresh settings and their defaults, each default with its reason. F numbers refer to `docs/failure-modes.md`.

use std::{fmt, time::Duration};

use crate::{Error, error::Kind};

/// A server may say TTL 0, and NodeLocal DNSCache counts its TTLs down to 0. Honoring them would cause a query loop
/// (Envoy #7808). F4.
const MIN_REFRESH: Duration = Duration::from_secs(1);

/// An added pod is seen within this time, whatever the TTL says (F3, F4). kubeadm sets the TTL of cluster names to 30
/// s, so in most clusters this bound changes nothing.
const MAX_REFRESH: Duration = Duration::from_secs(30);

/// Long enough for a restart or rollout of CoreDNS, short enough that an address has rarely been reused by another pod
/// (F6, F9).
const MAX_STALE: Duration = Duration::from_secs(5 * 60);

/// CoreDNS replicas disagree for the latency of their watches, which is less than a second (F10).
const REMOVAL_HOLD: Duration = Duration::from_secs(1);

/// A wrong NXDOMAIN comes from one replica or one moment; a second later another replica answers (F6).
const CONFIRM_AFTER: Duration = Duration::from_secs(1);

/// A new Service must not stay hidden behind the negative TTL of its zone, which is 5 or 30 s (F5).
const NEGATIVE_MAX: Duration = Duration::from_secs(5);

/// While a caller waits, a negative answer is refreshed as soon as the limit of one query per second allows (F5).
const NEGATIVE_MAX_WAITING: Duration = Duration::from_secs(1);

/// A lost packet or the replacement of a server costs only a few of these steps (F6).
const BACKOFF_INITIAL: Duration = Duration::from_millis(100);

/// A recovery is noticed within one step, and a recovering server is not overloaded (F6). gRPC backs off to 120 s,
/// which is why its users wait for minutes.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// A connect error suggests that an address is gone; F9 allows one new query per second and name. gRPC's 30 s is what
/// its users complain about (grpc-go #6718).
const FAILURE_REFRESH_MIN: Duration = Duration::from_secs(1);

/// Retained endpoints only have to carry what the application sends at the same moment, and each may have several
/// connections. Twice the eight addresses that large sites answer with. F19.
const RETAIN_MAX: usize = 16;

/// As long as `max_stale`, for the same reason: an address has rarely been reused by then. A host whose answers rotate
/// gets new connections at this pace. F19.
const RETAIN_FOR: Duration = Duration::from_secs(5 * 60);

/// Shorter than the idle timeouts of nginx (75 s) and of reqwest's pool (90 s), and as long as that of an AWS load
/// balancer: a request to a retained endpoint most likely finds its connection open. F19.
const RETAIN_IDLE: Duration = Duration::from_secs(60);

/// How often to query, and how long an answer is used; a value of this type is always consistent.
///
/// One method sets all settings that bound each other.
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
    retain_max: usize,
    retain_for: Duration,
    retain_idle: Duration,
}

impl Default for RefreshSettings {
    fn default() -> Self {
        Self {
            min_refresh: MIN_REFRESH,
            max_refresh: MAX_REFRESH,
            max_stale: MAX_STALE,
            removal_hold: REMOVAL_HOLD,
            confirm_after: CONFIRM_AFTER,
            negative_max: NEGATIVE_MAX,
            negative_max_waiting: NEGATIVE_MAX_WAITING,
            backoff_initial: BACKOFF_INITIAL,
            backoff_max: BACKOFF_MAX,
            failure_refresh_min: FAILURE_REFRESH_MIN,
            retain_max: RETAIN_MAX,
            retain_for: RETAIN_FOR,
            retain_idle: RETAIN_IDLE,
        }
    }
}

impl RefreshSettings {
    /// Sets the bounds of the TTL of a positive answer; by default 1 s and 30 s.
    ///
    /// # Errors
    ///
    /// Fails if `min` is zero or longer than `max`.
    pub fn with_refresh(mut self, min: Duration, max: Duration) -> Result<Self, SettingsError> {
        (self.min_refresh, self.max_refresh) = ordered(("min_refresh", min), ("max_refresh", max))?;
        Ok(self)
    }

    /// Sets the first and the longest wait after consecutive failures; each wait is twice the one before. By default
    /// 100 ms and 5 s.
    ///
    /// # Errors
    ///
    /// Fails if `initial` is zero or longer than `max`.
    pub fn with_backoff(mut self, initial: Duration, max: Duration) -> Result<Self, SettingsError> {
        (self.backoff_initial, self.backoff_max) = ordered(("backoff_initial", initial), ("backoff_max", max))?;
        Ok(self)
    }

    /// Sets how long a negative answer is used at most, while a caller is waiting for endpoints and otherwise; by
    /// default 1 s and 5 s. The limit of one query per second still applies.
    ///
    /// # Errors
    ///
    /// Fails if `waiting` is zero or longer than `otherwise`.
    pub fn with_negative(mut self, waiting: Duration, otherwise: Duration) -> Result<Self, SettingsError> {
        (self.negative_max_waiting, self.negative_max) =
            ordered(("negative_max_waiting", waiting), ("negative_max", otherwise))?;
        Ok(self)
    }

    /// Sets the age of the last positive answer up to which its endpoints survive a failed query; by default 5 min. If
    /// it is shorter than the refresh interval, the first failure drops the endpoints.
    #[must_use]
    pub fn with_max_stale(mut self, age: Duration) -> Self {
        self.max_stale = age;
        self
    }

    /// Sets how long an endpoint must be missing before it is removed; by default 1 s. Zero removes it at once.
    #[must_use]
    pub fn with_removal_hold(mut self, hold: Duration) -> Self {
        self.removal_hold = hold;
        self
    }

    /// Sets how long after a negative answer a second query confirms it, if the target had endpoints; by default 1 s.
    #[must_use]
    pub fn with_confirm_after(mut self, wait: Duration) -> Self {
        self.confirm_after = wait;
        self
    }

    /// Sets the minimum time between two queries caused by connect errors; by default 1 s. The limit of one query per
    /// second still applies.
    #[must_use]
    pub fn with_failure_refresh_min(mut self, wait: Duration) -> Self {
        self.failure_refresh_min = wait;
        self
    }

    /// Sets how many endpoints of a host or a virtual address are retained at most while requests on them succeed, for how
    /// long after the first answer that lacks them, and how long without a request; by default 16 endpoints, 5 min and
    /// 60 s. Zero for any of the three switches retention off.
    ///
    /// The idle time is measured in rounds of queries, and so up to one TTL late.
    #[must_use]
    pub fn with_retention(mut self, endpoints: usize, age: Duration, idle: Duration) -> Self {
        (self.retain_max, self.retain_for, self.retain_idle) = (endpoints, age, idle);
        self
    }

    /// The shortest TTL that is honored.
    #[must_use]
    pub fn min_refresh(&self) -> Duration {
        self.min_refresh
    }

    /// The longest TTL that is honored.
    #[must_use]
    pub fn max_refresh(&self) -> Duration {
        self.max_refresh
    }

    /// The age of the last positive answer beyond which a failure drops its endpoints.
    #[must_use]
    pub fn max_stale(&self) -> Duration {
        self.max_stale
    }

    /// How long an endpoint must be missing before it is removed.
    #[must_use]
    pub fn removal_hold(&self) -> Duration {
        self.removal_hold
    }

    /// How long after a negative answer a second query confirms it.
    #[must_use]
    pub fn confirm_after(&self) -> Duration {
        self.confirm_after
    }

    /// How long a negative answer is used at most.
    #[must_use]
    pub fn negative_max(&self) -> Duration {
        self.negative_max
    }

    /// How long a negative answer is used at most while a caller is waiting.
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

    /// The minimum time between two queries caused by connect errors.
    #[must_use]
    pub fn failure_refresh_min(&self) -> Duration {
        self.failure_refresh_min
    }

    /// How many endpoints are retained at most.
    #[must_use]
    pub fn retain_max(&self) -> usize {
        self.retain_max
    }

    /// How long an endpoint is retained at most.
    #[must_use]
    pub fn retain_for(&self) -> Duration {
        self.retain_for
    }

    /// How long a retained endpoint stays without a request.
    #[must_use]
    pub fn retain_idle(&self) -> Duration {
        self.retain_idle
    }
}

/// Returns both values if `low` is neither zero nor greater than `high`.
fn ordered(
    low: (&'static str, Duration),
    high: (&'static str, Duration),
) -> Result<(Duration, Duration), SettingsError> {
    if low.1.is_zero() || low.1 > high.1 {
        return Err(SettingsError { low, high });
    }
    Ok((low.1, high.1))
}

/// An invalid refresh setting: zero, or greater than the setting that bounds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    low: (&'static str, Duration),
    high: (&'static str, Duration),
}

impl SettingsError {
    /// The name of the setting, such as `min_refresh`.
    #[must_use]
    pub fn setting(&self) -> &'static str {
        self.low.0
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((setting, low), (bound, high)) = (self.low, self.high);
        if low.is_zero() {
            return write!(f, "`{setting}` must not be zero; set it to a duration up to `{bound}` ({high:?})");
        }
        write!(f, "`{setting}` ({low:?}) must not exceed `{bound}` ({high:?})")
    }
}

impl std::error::Error for SettingsError {}

impl From<SettingsError> for Error {
    fn from(error: SettingsError) -> Self {
        Self::with_source(Kind::Config, format!("invalid refresh setting: {error}"), error)
    }
}
