//! What an attempt says about its endpoint, and whether the request may be sent again.

use std::{error::Error as StdError, marker::PhantomData, time::Duration};

use discovery_core::policy::{Outcome, retry::is_idempotent_method};
use http::{Method, Request, Response};

use super::transport::{is_connect, is_interrupted, is_refused};
use crate::in_flight::{BodyEnd, Head, InFlight, InFlightUntil, head_outcome};

/// Decides for [`Balance`](super::Balance) what a result says about its endpoint, and which requests may be retried.
///
/// The policy only describes an attempt. Where the request goes and how often it is sent is decided by
/// [`discovery_core::policy::retry`], within the [`RetryBudget`](discovery_core::policy::RetryBudget).
pub trait RetryPolicy<Req, Res, Err>: Send + Sync + 'static {
    /// What a call returns.
    type Response;

    /// Returns what the result says about the endpoint.
    fn classify(&self, result: &Result<Res, Err>) -> Outcome;

    /// Makes the response of the call from that of the last attempt.
    ///
    /// `request` counts in the load of the endpoint until it is dropped: a response with a body holds it until the body has
    /// ended.
    fn finish(&self, response: Res, request: InFlight) -> Self::Response;

    /// Returns a copy of the request for a retry, or `None` if it cannot be sent twice.
    fn clone_request(&self, request: &Req) -> Option<Req>;

    /// Returns whether `copy`, which [`clone_request`](Self::clone_request) made, can still be sent. `Balance` asks after an
    /// attempt, because the attempt may have read a body that it shares with the copy. `true` by default.
    fn is_replayable(&self, copy: &Req) -> bool {
        let _ = copy;
        true
    }

    /// Returns whether the request may be sent to an endpoint that has not been tried. It is called for errors only: a
    /// response, whatever its status, is the result of the call.
    /// By default, `true` only if the connection could not be established: the endpoint has not seen the request then, so
    /// a retry is safe.
    fn should_retry(&self, request: &Req, result: &Result<Res, Err>) -> bool {
        let _ = request;
        self.classify(result) == Outcome::Unreachable
    }

    /// Returns how long to wait before the retry, for example because the server asked for a delay. Zero by default.
    fn retry_delay(&self, result: &Result<Res, Err>) -> Duration {
        let _ = result;
        Duration::ZERO
    }

    /// Returns whether doing the request twice has the effect of doing it once.
    ///
    /// Such a request goes to another endpoint while it still waits for its result, if its endpoint has left the set and is
    /// silent: see [`Balance::with_removed_silence`](super::Balance::with_removed_silence). `false` by default.
    fn is_idempotent(&self, request: &Req) -> bool {
        let _ = request;
        false
    }

    /// Returns whether an HTTP/2 server refused the request before processing it.
    ///
    /// Such a request is retried whatever [`should_retry`](Self::should_retry) says, on the same endpoint if there is no
    /// other. `false` by default.
    fn is_refused(&self, error: &Err) -> bool {
        let _ = error;
        false
    }
}

/// Retries HTTP requests that can be cloned, on at most three endpoints.
///
/// | error | retried |
/// |---|---|
/// | the connection could not be established | every request: the endpoint has not seen it |
/// | an HTTP/2 server refused the request before processing it (`REFUSED_STREAM`, `GOAWAY` with `NO_ERROR`; feature `http2`) | every request; on the same endpoint if there is no other |
/// | the connection was closed before hyper sent the request on it | every request; on the same endpoint if there is no other |
/// | the connection broke before a response, or did not answer an HTTP/2 ping in time | idempotent methods (RFC 9110: GET, HEAD, OPTIONS, TRACE, PUT, DELETE) |
/// | the endpoint has left the set and has been silent for 1 s since ([`Balance::with_removed_silence`](super::Balance::with_removed_silence)) | idempotent methods |
/// | anything else | no |
///
/// A response is the result of the call and is not retried. An error or a 5xx status counts as a failure of the
/// endpoint, 429 and 503 count as overload, which `Retry-After` in seconds extends to 5 min at most, and everything
/// else, 4xx included, as success. The status of a gRPC call counts as in [`Outcome::from_grpc_status`].
///
/// A request is in flight until the body of its response has ended, failed or been dropped, and a body that fails is a
/// failure of the endpoint. [`head_only`](Self::head_only) changes that.
#[derive(Clone, Copy, Debug)]
pub struct HttpRetry<Until = BodyEnd>(PhantomData<Until>);

impl HttpRetry {
    /// Creates the policy. It has no settings.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }

    /// The same policy, with requests in flight until the head of the response has arrived. For services that return a
    /// response after they have read its body, and for bodies that cost the endpoint nothing.
    #[must_use]
    pub const fn head_only(self) -> HttpRetry<Head> {
        HttpRetry(PhantomData)
    }
}

impl Default for HttpRetry {
    fn default() -> Self {
        Self::new()
    }
}

impl<R, B, Err, Until> RetryPolicy<Request<R>, Response<B>, Err> for HttpRetry<Until>
where
    R: Clone,
    Err: StdError + 'static,
    Until: InFlightUntil<B>,
{
    type Response = Response<Until::Body>;

    fn classify(&self, result: &Result<Response<B>, Err>) -> Outcome {
        http_outcome(result)
    }

    fn finish(&self, response: Response<B>, request: InFlight) -> Self::Response {
        Until::finish(response, request)
    }

    fn clone_request(&self, request: &Request<R>) -> Option<Request<R>> {
        Some(request.clone())
    }

    fn should_retry(&self, request: &Request<R>, result: &Result<Response<B>, Err>) -> bool {
        result.as_ref().err().is_some_and(|error| may_retry(request.method(), error))
    }

    fn is_idempotent(&self, request: &Request<R>) -> bool {
        is_idempotent_method(request.method().as_str())
    }

    fn is_refused(&self, error: &Err) -> bool {
        is_refused(error)
    }
}

/// Sends every request once. The results count as with [`HttpRetry`]; requests need not be `Clone`.
#[derive(Clone, Copy, Debug)]
pub struct NoRetry<Until = BodyEnd>(PhantomData<Until>);

impl NoRetry {
    /// Creates the policy. It has no settings.
    #[must_use]
    pub const fn new() -> Self {
        Self(PhantomData)
    }

    /// As [`HttpRetry::head_only`].
    #[must_use]
    pub const fn head_only(self) -> NoRetry<Head> {
        NoRetry(PhantomData)
    }
}

impl Default for NoRetry {
    fn default() -> Self {
        Self::new()
    }
}

impl<Req, B, Err, Until> RetryPolicy<Req, Response<B>, Err> for NoRetry<Until>
where
    Err: StdError + 'static,
    Until: InFlightUntil<B>,
{
    type Response = Response<Until::Body>;

    fn classify(&self, result: &Result<Response<B>, Err>) -> Outcome {
        http_outcome(result)
    }

    fn finish(&self, response: Response<B>, request: InFlight) -> Self::Response {
        Until::finish(response, request)
    }

    fn clone_request(&self, _: &Req) -> Option<Req> {
        None
    }
}

/// Whether a request may be sent to another endpoint after this error.
pub(crate) fn may_retry(method: &Method, error: &(dyn StdError + 'static)) -> bool {
    is_connect(error) || is_idempotent_method(method.as_str()) && is_interrupted(error)
}

/// What a result says about the endpoint, by the rules of HTTP and of gRPC.
pub(crate) fn http_outcome<B>(result: &Result<Response<B>, impl StdError + 'static>) -> Outcome {
    match result {
        Err(error) if is_connect(error) => Outcome::Unreachable,
        Err(_) => Outcome::Failure,
        Ok(response) => head_outcome(response.status(), response.headers()),
    }
}
