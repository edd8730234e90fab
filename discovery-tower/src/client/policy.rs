//! Which requests of the client are sent again.

use discovery_core::policy::{Outcome, retry::is_idempotent_method};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::client::legacy::Error;

use super::replay::ReplayBody;
use crate::{
    BodyEnd, InFlight, InFlightBody, InFlightUntil, RetryPolicy,
    balance::{http_outcome, is_refused, may_retry},
};

/// The rules of [`HttpRetry`](crate::HttpRetry), for bodies of which enough is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReplayRetry;

impl RetryPolicy<Request<ReplayBody>, Response<Incoming>, Error> for ReplayRetry {
    type Response = Response<InFlightBody<Incoming>>;

    fn classify(&self, result: &Result<Response<Incoming>, Error>) -> Outcome {
        http_outcome(result)
    }

    fn finish(&self, response: Response<Incoming>, request: InFlight) -> Self::Response {
        BodyEnd::finish(response, request)
    }

    fn clone_request(&self, request: &Request<ReplayBody>) -> Option<Request<ReplayBody>> {
        Some(request.clone())
    }

    fn is_replayable(&self, copy: &Request<ReplayBody>) -> bool {
        copy.body().is_replayable()
    }

    fn should_retry(&self, request: &Request<ReplayBody>, result: &Result<Response<Incoming>, Error>) -> bool {
        result.as_ref().err().is_some_and(|error| may_retry(request.method(), error))
    }

    fn is_idempotent(&self, request: &Request<ReplayBody>) -> bool {
        is_idempotent_method(request.method().as_str())
    }

    fn is_refused(&self, error: &Error) -> bool {
        is_refused(error)
    }
}
