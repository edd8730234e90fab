//! Retries: whether and where a request is sent again, and what pays for it.
//!
//! Every client that retries asks [`Attempts`] after each failed attempt, so that all of them follow the same rules:
//!
//! * A request that no endpoint has seen ([`AttemptFailure::Unsent`]) may be sent again, whatever its method.
//! * So may a request that an HTTP/2 server refused before processing it: `REFUSED_STREAM`, or `GOAWAY` with `NO_ERROR`
//!   ([`AttemptFailure::Refused`]). The retry goes to another endpoint, or to the same one if the set has no other. A
//!   refused *connection* is `Unsent`.
//! * A request that an endpoint may have seen is sent again only if it is idempotent, and only to another endpoint.
//! * One request makes at most [`Attempts::MAX`] attempts.
//! * A request whose endpoint has left the set and has been silent for [`REMOVED_SILENCE`] since
//!   ([`AttemptFailure::RemovedSilent`]) is sent to another endpoint if it is idempotent. Any other request keeps waiting.
//! * A request that cannot be copied, such as one whose body is a stream, is sent only once.
//! * After a redirect, a request is sent again only if a server refused it and it is idempotent.
//! * A retry takes one from the [`RetryBudget`], unless the first attempt of the request was refused: a server that shuts
//!   down gracefully refuses what arrives meanwhile, and that is not the overload that the budget protects from.
//!
//! Nothing here sends, sleeps or reads a clock.
//!
//! ```
//! use std::time::Instant;
//!
//! use discovery_core::{
//!     endpoint::Endpoint,
//!     policy::{
//!         RetryBudget, Tried,
//!         retry::{AttemptFailure, Attempts, FailedAttempt, RetryContext, RetryDecision},
//!     },
//! };
//!
//! let now = Instant::now();
//! let budget = RetryBudget::new(now);
//! let set = [[10, 0, 0, 1], [10, 0, 0, 2]].map(|ip| Endpoint::new((ip, 80).into()));
//! let has_untried = |tried: &Tried| set.iter().any(|endpoint| !tried.contains(endpoint.identity()));
//! let context = RetryContext::new(&budget, &now, &has_untried);
//!
//! let mut attempts = Attempts::new(false);
//! attempts.begin();
//! let connect_error = FailedAttempt::new(AttemptFailure::Unsent);
//! assert_eq!(attempts.next(set[0].identity(), connect_error, &context), RetryDecision::Another);
//! ```

use std::{fmt, time::Duration};

use super::{Clock, RetryBudget, Tried};
use crate::endpoint::Identity;

/// How long an endpoint that has left the set may be silent before its idempotent requests go elsewhere, unless a client
/// is set otherwise.
///
/// The control plane removes a dead node's pods 40 s or more after the node's last sign of life
/// (`--node-monitor-grace-period` of kube-controller-manager), so a pod that is silent then is almost certainly dead. A pod
/// that shuts down gracefully has left DNS as well, and answers most requests within a second. The longer ones are done
/// twice, which the method allows.
pub const REMOVED_SILENCE: Duration = Duration::from_secs(1);

/// The attempts of one request.
#[derive(Clone, Debug)]
pub struct Attempts {
    idempotent: bool,
    begun: usize,
    tried: Tried,
    endpoints_tried: usize,
    /// The endpoint that refused the request last. The request may go there again when the set has no other endpoint.
    refused_by: Option<Identity>,
    /// That endpoint has been taken out of `tried`.
    reopened: bool,
}

impl Attempts {
    /// How many attempts one request makes at most, the first included.
    ///
    /// Two endpoints that fail one after the other are common in a rolling restart. Three are an outage, and more
    /// attempts only make it worse.
    pub const MAX: usize = 3;

    /// The attempts of a request that has not been sent yet.
    ///
    /// `idempotent`: doing the request twice has the effect of doing it once. For HTTP see [`is_idempotent_method`].
    #[must_use]
    pub const fn new(idempotent: bool) -> Self {
        Self { idempotent, begun: 0, tried: Tried::new(), endpoints_tried: 0, refused_by: None, reopened: false }
    }

    /// Counts an attempt. Call it each time that the request is sent.
    #[inline]
    pub fn begin(&mut self) {
        self.begun += 1;
    }

    /// Returns whether the request has been sent more than once.
    #[must_use]
    #[inline]
    pub fn is_retry(&self) -> bool {
        self.begun > 1
    }

    /// Returns whether the attempt under way is the last one: no copy of the request is needed.
    #[must_use]
    #[inline]
    pub fn is_last(&self) -> bool {
        self.begun >= Self::MAX
    }

    /// Returns whether the attempt under way may be given up before it has ended, so that another endpoint gets the
    /// request: at an attempt timeout, or when its endpoint has left the set and is silent.
    #[must_use]
    #[inline]
    pub fn may_time_out(&self) -> bool {
        self.idempotent && !self.is_last()
    }

    /// The endpoints to which the request must not be sent again.
    #[must_use]
    #[inline]
    pub fn tried(&self) -> &Tried {
        &self.tried
    }

    /// The number of endpoints that the request was sent to, without repetitions.
    #[must_use]
    pub fn endpoints_tried(&self) -> usize {
        self.endpoints_tried
    }

    /// Records that the request was sent to `endpoint`. [`next`](Self::next) does this for a failed attempt.
    pub fn record(&mut self, endpoint: &Identity) {
        if self.tried.contains(endpoint) {
            return;
        }
        let again = self.reopened && self.refused_by.as_ref() == Some(endpoint);
        self.endpoints_tried += usize::from(!again);
        self.tried.add(endpoint);
    }

    /// Decides what becomes of the request after an attempt at `endpoint` failed.
    ///
    /// On [`RetryDecision::Another`] and [`RetryDecision::Same`] a retry has been taken from the budget.
    pub fn next(&mut self, endpoint: &Identity, attempt: FailedAttempt, context: &RetryContext<'_>) -> RetryDecision {
        self.record(endpoint);
        if !self.may_repeat(attempt) {
            return RetryDecision::GiveUp(GiveUp::NotRetryable);
        }
        if self.is_last() {
            return RetryDecision::GiveUp(GiveUp::MaxAttempts);
        }
        if !attempt.replayable {
            return RetryDecision::GiveUp(GiveUp::NotReplayable);
        }
        let refused = attempt.failure == AttemptFailure::Refused;
        if refused {
            self.refused_by = Some(endpoint.clone());
            self.reopened = false;
        }
        let decision = if (context.has_untried)(&self.tried) {
            RetryDecision::Another
        } else if self.refused_by.is_some() && !self.reopened && !attempt.failure.is_under_way() {
            RetryDecision::Same
        } else {
            return RetryDecision::GiveUp(GiveUp::NoOtherEndpoint);
        };
        let is_free = refused && self.begun == 1;
        if !is_free && !context.budget.retry(context.clock.now()) {
            return RetryDecision::GiveUp(GiveUp::Budget);
        }
        if decision == RetryDecision::Same {
            self.fall_back_to_refused();
        }
        decision
    }

    /// Allows the endpoint that refused the request last to be picked again, and returns whether there is one.
    ///
    /// For the case that no other endpoint can be picked although [`next`](Self::next) expected one: the set may change
    /// between the two, and an endpoint that is known need not be ready.
    pub fn fall_back_to_refused(&mut self) -> bool {
        let Some(refused_by) = self.refused_by.as_ref().filter(|_| !self.reopened) else { return false };
        self.tried.remove(refused_by);
        self.reopened = true;
        true
    }

    fn may_repeat(&self, attempt: FailedAttempt) -> bool {
        // The first request of a chain of redirects has been answered: it is sent again only where that does no harm,
        // and where the server says that it has not begun with the last one.
        if attempt.redirected && attempt.failure != AttemptFailure::Refused {
            return false;
        }
        match attempt.failure {
            AttemptFailure::Unsent => true,
            AttemptFailure::Refused => !attempt.redirected || self.idempotent,
            AttemptFailure::Interrupted | AttemptFailure::TimedOut | AttemptFailure::RemovedSilent => self.idempotent,
            AttemptFailure::Final => false,
        }
    }
}

/// An attempt that ended without a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedAttempt {
    failure: AttemptFailure,
    redirected: bool,
    replayable: bool,
}

impl FailedAttempt {
    /// An attempt that failed with `failure`, was not redirected, and whose request can be sent again.
    #[must_use]
    pub const fn new(failure: AttemptFailure) -> Self {
        Self { failure, redirected: false, replayable: true }
    }

    /// Says whether an endpoint answered the request with a redirect before it failed.
    #[must_use]
    pub const fn redirected(mut self, redirected: bool) -> Self {
        self.redirected = redirected;
        self
    }

    /// Says whether there is a copy of the request: a body that is a stream cannot be sent twice.
    #[must_use]
    pub const fn replayable(mut self, replayable: bool) -> Self {
        self.replayable = replayable;
        self
    }
}

/// How an attempt failed, as far as a retry depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttemptFailure {
    /// The connection could not be established: the endpoint has not seen the request.
    Unsent,
    /// An HTTP/2 server refused the request before processing it, as servers do that shut down or are at their limit
    /// (RFC 9113, sections 6.8 and 8.7).
    Refused,
    /// The connection broke before a response arrived: the endpoint may have seen the request.
    Interrupted,
    /// The endpoint did not answer within the attempt timeout. The attempt can still be waited for.
    TimedOut,
    /// The endpoint has left the set, and has answered nothing for [`REMOVED_SILENCE`] since, as when its node has died.
    /// The attempt can still be waited for.
    RemovedSilent,
    /// Any other failure. A retry would fail in the same way, or would exceed the time of the request.
    Final,
}

impl AttemptFailure {
    /// Returns whether the attempt can still be waited for.
    const fn is_under_way(self) -> bool {
        matches!(self, Self::TimedOut | Self::RemovedSilent)
    }
}

/// What [`Attempts::next`] needs to know of the world.
pub struct RetryContext<'a> {
    budget: &'a RetryBudget,
    clock: &'a dyn Clock,
    has_untried: &'a dyn Fn(&Tried) -> bool,
}

impl<'a> RetryContext<'a> {
    /// Retries are paid from `budget`. `has_untried` returns whether there may be an endpoint outside the given ones:
    /// without one, nothing is taken from the budget. The clock is read only for a retry.
    #[must_use]
    pub fn new(budget: &'a RetryBudget, clock: &'a dyn Clock, has_untried: &'a dyn Fn(&Tried) -> bool) -> Self {
        Self { budget, clock, has_untried }
    }
}

impl fmt::Debug for RetryContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryContext").field("budget", &self.budget).finish_non_exhaustive()
    }
}

/// What becomes of a request after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a client has to handle each")]
pub enum RetryDecision {
    /// Send the request to an endpoint that is not among [`Attempts::tried`].
    Another,
    /// Send the request to the endpoint that refused it last. That endpoint has been removed from [`Attempts::tried`].
    Same,
    /// Return the error. After [`AttemptFailure::TimedOut`] and [`AttemptFailure::RemovedSilent`]: wait for the attempt,
    /// which is still under way.
    GiveUp(GiveUp),
}

/// Why a request is not sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GiveUp {
    /// The endpoint may have seen the request, and doing it twice may do harm; or a retry would fail in the same way.
    NotRetryable,
    /// The request has made [`Attempts::MAX`] attempts.
    MaxAttempts,
    /// The request cannot be sent twice: its body is a stream, for example.
    NotReplayable,
    /// Every endpoint has been tried.
    NoOtherEndpoint,
    /// The [`RetryBudget`] is exhausted.
    Budget,
}

/// Returns whether an HTTP method is idempotent (RFC 9110, section 9.2.2): GET, HEAD, OPTIONS, TRACE, PUT and DELETE.
///
/// Methods are case-sensitive. Of an unknown method nothing is assumed.
#[must_use]
pub fn is_idempotent_method(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
}

#[cfg(test)]
mod tests;
