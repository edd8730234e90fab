//! How long answers are believed.

use std::time::Duration;

use crate::Error;

/// When sources are asked again, and how long their answers are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshSettings {
    pub(super) min_refresh: Duration,
    pub(super) max_refresh: Duration,
    pub(super) max_stale: Duration,
    pub(super) removal_hold: Duration,
}

impl Default for RefreshSettings {
    fn default() -> Self {
        Self { min_refresh: MIN_REFRESH, max_refresh: MAX_REFRESH, max_stale: MAX_STALE, removal_hold: REMOVAL_HOLD }
    }
}

/// CoreDNS may be set to TTL 0, and a cache in between may hand out what is left of a TTL: one question a
/// second is what a name may cost.
const MIN_REFRESH: Duration = Duration::from_secs(1);

/// kubeadm sets the TTL of CoreDNS to 30 s: nobody expects a change to be seen later than that.
const MAX_REFRESH: Duration = Duration::from_secs(30);

/// Long enough for a rollout of the DNS service, short enough that a reused address does not stay.
/// RFC 8767 allows days, for names that change less often than pods do.
const MAX_STALE: Duration = Duration::from_secs(300);

/// One question later: replicas of a DNS service are apart by less than that as a rule (k/k#127259).
const REMOVAL_HOLD: Duration = Duration::from_secs(1);

/// A "no" after a "yes" is asked about once more after so long: two replicas that start anew do not both
/// say it.
pub(super) const CONFIRM_AFTER: Duration = Duration::from_secs(1);

/// The pauses after failures, doubling.
pub(super) const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// See [`BACKOFF_MIN`].
pub(super) const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// The first pause after a "no" without endpoints, doubling up to the TTL of the "no" or [`NEGATIVE_MAX`].
pub(super) const NEGATIVE_MIN: Duration = Duration::from_secs(1);
/// A Service that is created after it was first asked for is found within so long, whatever the TTL of the
/// "no"; and within [`NEGATIVE_MIN`] while somebody waits for it.
pub(super) const NEGATIVE_MAX: Duration = Duration::from_secs(5);

/// No event makes a name be asked for more often than this, failures apart.
pub(super) const ASK_AT_MOST_EVERY: Duration = Duration::from_secs(1);

impl RefreshSettings {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The shortest time between two questions, whatever the TTL; 1 s by default.
    #[must_use]
    pub fn with_min_refresh(mut self, min: Duration) -> Self {
        self.min_refresh = min;
        self
    }

    /// The longest time between two questions, whatever the TTL; 30 s by default.
    #[must_use]
    pub fn with_max_refresh(mut self, max: Duration) -> Self {
        self.max_refresh = max;
        self
    }

    /// How long after the last good answer a failure drops the endpoints; 5 min by default.
    #[must_use]
    pub fn with_max_stale(mut self, max: Duration) -> Self {
        self.max_stale = max;
        self
    }

    /// How long an endpoint that an answer lacks is kept, until a later answer lacks it too; 1 s by
    /// default, zero removes at once.
    #[must_use]
    pub fn with_removal_hold(mut self, hold: Duration) -> Self {
        self.removal_hold = hold;
        self
    }

    /// The longest time that endpoints outlive failures.
    #[must_use]
    pub fn max_stale(&self) -> Duration {
        self.max_stale
    }

    /// Checks the settings against each other.
    ///
    /// # Errors
    /// [`Error::is_config`], naming the setting, when the shortest time between two questions is under
    /// 10 ms or over the longest one.
    pub fn validated(self) -> Result<Self, Error> {
        if self.min_refresh < Duration::from_millis(10) {
            return Err(Error::config(format!("min_refresh is {:?}; give 10 ms or more", self.min_refresh)));
        }
        if self.min_refresh > self.max_refresh {
            return Err(Error::config(format!(
                "min_refresh ({:?}) is longer than max_refresh ({:?}); give a shorter one",
                self.min_refresh, self.max_refresh
            )));
        }
        Ok(self)
    }
}
