//! The guard of one request.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::{Clock, LoadedEndpoint};
use crate::endpoint::Endpoint;

/// The chosen endpoint, and the guard that records the outcome of the request in the endpoint's [`Load`](super::Load).
///
/// The request counts as in flight until the pick is completed or dropped. Dropping it without an outcome means that
/// the request was canceled. That is not a failure of the endpoint, but shows that its answer would have taken longer.
#[derive(Debug)]
#[must_use = "the request counts as in flight only as long as the pick lives"]
pub struct Pick {
    loaded: Arc<LoadedEndpoint>,
    started: Option<Instant>,
    drop_clock: Option<fn() -> Instant>,
    /// Whether an outcome was recorded.
    recorded: AtomicBool,
}

impl Pick {
    #[inline]
    pub(super) fn start(loaded: Arc<LoadedEndpoint>, started: Option<Instant>) -> Self {
        loaded.load().started();
        if let Some(now) = started {
            loaded.load().wait().started(now);
        }
        Self { loaded, started, drop_clock: None, recorded: AtomicBool::new(false) }
    }

    /// Reads `clock` if the pick is dropped without an outcome.
    #[inline]
    pub(super) fn with_drop_clock(mut self, clock: Option<fn() -> Instant>) -> Self {
        self.drop_clock = clock;
        self
    }

    /// The chosen endpoint.
    #[must_use]
    #[inline]
    pub fn endpoint(&self) -> &Endpoint {
        self.loaded.endpoint()
    }

    /// The chosen endpoint with its load.
    #[must_use]
    pub fn loaded_endpoint(&self) -> &Arc<LoadedEndpoint> {
        &self.loaded
    }

    /// When the request started; known if the policy read the time of the pick.
    #[must_use]
    pub fn started(&self) -> Option<Instant> {
        self.started
    }

    /// Records the outcome of the request, and ends it. `clock` is the time, or a function that returns it:
    /// `Instant::now` is called only if the request failed, if its start is known, or if the endpoint has a penalty.
    #[inline]
    pub fn complete(self, outcome: Outcome, clock: impl Clock) {
        self.record(outcome, clock);
    }

    /// Records a sign of life, whatever it says: the head of a response, or a part of its body. An endpoint that has left
    /// the set and shows none is taken for dead: see `Upstream::removed_and_silent`.
    #[inline]
    pub fn answered(&self) {
        self.loaded.load().answered();
    }

    /// Records an outcome while the request stays in flight, such as a failure in the head of a response whose body is
    /// still to come.
    #[expect(clippy::needless_pass_by_value, reason = "a moment or a function, as it stands at the call")]
    #[inline]
    pub fn record(&self, outcome: Outcome, clock: impl Clock) {
        self.recorded.store(true, Relaxed);
        match (outcome, self.started) {
            (Outcome::Success, None) => self.loaded.load().succeeded(&clock),
            (Outcome::Success, Some(started)) => {
                let now = clock.now();
                self.loaded.load().succeeded(&now);
                self.loaded.load().wait().succeeded(started, now);
            }
            (outcome, _) => self.failed(outcome, clock.now()),
        }
    }

    /// Adds the penalty before the drop takes the request out of flight, so that the endpoint never looks idle between.
    #[cold]
    fn failed(&self, outcome: Outcome, now: Instant) {
        let pause = match outcome {
            Outcome::Overloaded { retry_after } => retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        let wait = self.loaded.load().wait();
        match outcome {
            // The endpoint is passed over until a connection succeeds, and has shown nothing about latency.
            Outcome::Unreachable => {
                wait.answered();
                self.loaded.connect_failed(now);
            }
            _ => {
                self.loaded.load().failed(now, pause);
                if let Some(started) = self.started {
                    wait.failed(started, now, pause);
                }
            }
        }
    }
}

impl Drop for Pick {
    #[inline]
    fn drop(&mut self) {
        let load = self.loaded.load();
        load.ended();
        if let Some(started) = self.started
            && !*self.recorded.get_mut()
        {
            load.wait().dropped(started, self.drop_clock.map(|now| now()), load.in_flight() == 0);
        }
    }
}

/// The outcome of a request, as far as it says something about the endpoint. A response to a request that is itself at
/// fault (HTTP 404, an invalid argument) is a success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The endpoint handled the request.
    Success,
    /// The endpoint responded with an error of its own, closed the connection, or did not respond in time.
    Failure,
    /// The connection could not be established: the endpoint has not seen the request.
    Unreachable,
    /// The endpoint rejected the request because it is overloaded.
    Overloaded {
        /// How long the endpoint asked clients to wait.
        retry_after: Option<Duration>,
    },
}

impl Outcome {
    /// Returns the outcome for an HTTP status: 429 and 503 are `Overloaded`, any other 5xx is a `Failure`, and everything
    /// else, 4xx included, is a `Success`.
    ///
    /// `retry_after` returns the value of that header, and is called only for an overload. A date in it is ignored.
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

    /// What the status of a gRPC call says about the endpoint.
    ///
    /// | status | outcome |
    /// |---|---|
    /// | UNKNOWN 2, DEADLINE_EXCEEDED 4, INTERNAL 13, UNAVAILABLE 14, DATA_LOSS 15 | failure |
    /// | RESOURCE_EXHAUSTED 8 | overload |
    /// | any other | success: the endpoint answered, and the status is the caller's affair |
    ///
    /// `pushback` returns the text of `grpc-retry-pushback-ms`, in milliseconds. It is called only for an overload.
    /// Source: gRPC, "Status codes and their use in gRPC"; gRFC A6 for the pushback.
    #[must_use]
    pub fn from_grpc_status<'a>(status: u32, pushback: impl FnOnce() -> Option<&'a str>) -> Self {
        match status {
            8 => {
                let millis = pushback().and_then(|text| text.trim().parse().ok());
                Self::Overloaded { retry_after: millis.map(Duration::from_millis) }
            }
            2 | 4 | 13..=15 => Self::Failure,
            _ => Self::Success,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The codes of grpc/grpc `doc/statuscodes.md`; `grpc-retry-pushback-ms` of gRFC A6.
    #[test]
    fn grpc_statuses_are_judged_by_whose_fault_they_are() {
        for status in [2, 4, 13, 14, 15] {
            assert_eq!(Outcome::from_grpc_status(status, || None), Outcome::Failure, "{status}");
        }
        for status in [0, 1, 3, 5, 6, 7, 9, 10, 11, 12, 16, 99] {
            assert_eq!(Outcome::from_grpc_status(status, || None), Outcome::Success, "{status}");
        }
        for (pushback, retry_after) in [(None, None), (Some("250"), Some(250)), (Some("-1"), None), (Some("x"), None)] {
            let retry_after = retry_after.map(Duration::from_millis);
            assert_eq!(Outcome::from_grpc_status(8, || pushback), Outcome::Overloaded { retry_after }, "{pushback:?}");
        }
    }

    #[test]
    fn http_statuses_map_to_outcomes() {
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
