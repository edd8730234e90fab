//! The guard of one request.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Clock, LoadedEndpoint};
use crate::endpoint::Endpoint;

/// The chosen endpoint, and the guard that tells its [`Load`](super::Load) how the request went.
///
/// The request counts as in flight until the pick is completed or dropped. Dropping it without an outcome
/// means that the request was cancelled: nothing is learned from it.
#[derive(Debug)]
#[must_use = "the request counts as in flight only as long as the pick lives"]
pub struct Pick {
    slot: Arc<LoadedEndpoint>,
    started: Option<Instant>,
}

impl Pick {
    #[inline]
    pub(super) fn start(slot: Arc<LoadedEndpoint>, started: Option<Instant>) -> Self {
        slot.load().started();
        Self { slot, started }
    }

    /// The chosen endpoint.
    #[must_use]
    #[inline]
    pub fn endpoint(&self) -> &Endpoint {
        self.slot.endpoint()
    }

    /// The chosen endpoint with its load.
    #[must_use]
    pub fn loaded_endpoint(&self) -> &Arc<LoadedEndpoint> {
        &self.slot
    }

    /// When the request began; known if the policy asked for the time of the pick.
    #[must_use]
    pub fn started(&self) -> Option<Instant> {
        self.started
    }

    /// Records how the request went, and ends it. `clock` is the time, or what to ask for it: `Instant::now` is
    /// called only if the endpoint has failed lately or now.
    #[expect(clippy::needless_pass_by_value, reason = "a moment or a function, as it stands at the call")]
    #[inline]
    pub fn complete(self, outcome: Outcome, clock: impl Clock) {
        match outcome {
            Outcome::Success => self.slot.load().succeeded(&clock),
            outcome => self.failed(outcome, clock.now()),
        }
    }

    /// Before the drop takes it out of flight, so that a failure is never seen as an idle endpoint.
    #[cold]
    fn failed(&self, outcome: Outcome, now: Instant) {
        let pause = match outcome {
            Outcome::Overloaded { retry_after } => retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        self.slot.load().failed(now, pause);
        if outcome == Outcome::Unreachable {
            self.slot.unreachable();
        }
    }
}

impl Drop for Pick {
    #[inline]
    fn drop(&mut self) {
        self.slot.load().ended();
    }
}

/// How a request went, as far as it says something about the endpoint: a request that is itself at fault
/// (HTTP 404, an invalid argument) was answered, which is a success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The endpoint did its work.
    Success,
    /// The endpoint answered that it failed, or broke off, or did not answer in time.
    Failure,
    /// No connection came about: the endpoint has not seen the request.
    Unreachable,
    /// The endpoint refused for want of capacity.
    Overloaded {
        /// How long it asked to be left alone.
        retry_after: Option<Duration>,
    },
}

impl Outcome {
    /// What an HTTP status says about the endpoint: 429 and 503 are overload, any other 5xx is a failure, and
    /// everything else, 4xx included, is a success.
    ///
    /// `retry_after` returns the text of the `Retry-After` header. It is called only for an overload. Seconds count; a
    /// date is ignored.
    #[must_use]
    pub fn from_http_status<'a>(status: u16, retry_after: impl FnOnce() -> Option<&'a str>) -> Self {
        match status {
            429 | 503 => {
                let seconds = retry_after().and_then(|text| text.trim().parse().ok());
                Self::Overloaded { retry_after: seconds.map(Duration::from_secs) }
            }
            500.. => Self::Failure,
            _ => Self::Success,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_judged_by_whose_fault_they_are() {
        for (status, retry_after, outcome) in [
            (200, None, Outcome::Success),
            (404, None, Outcome::Success),
            (500, None, Outcome::Failure),
            (504, Some("7"), Outcome::Failure),
            (503, None, Outcome::Overloaded { retry_after: None }),
            (429, Some(" 7 "), Outcome::Overloaded { retry_after: Some(Duration::from_secs(7)) }),
            (429, Some("Wed, 21 Oct 2026 07:28:00 GMT"), Outcome::Overloaded { retry_after: None }),
        ] {
            assert_eq!(Outcome::from_http_status(status, || retry_after), outcome, "{status} {retry_after:?}");
        }
    }
}
