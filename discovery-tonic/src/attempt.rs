//! One attempt of a call, at one endpoint.

use std::{
    error::Error as StdError,
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use discovery_core::policy::Outcome;
use discovery_tower::{
    BodyEnd, ConnectError, HttpRetry, InFlight, InFlightBody, InFlightUntil, ReplayBody, RetryPolicy,
};
use http::{Request, Response};
use tonic::{Code, Status, body::Body, transport};
use tower::Service;

use crate::{
    channel::{chain, now},
    deadline::{Deadline, GRPC_TIMEOUT},
};

type BoxError = Box<dyn StdError + Send + Sync>;

/// The channel of one endpoint.
#[derive(Clone)]
pub(crate) struct EndpointChannel(transport::Channel);

impl EndpointChannel {
    pub(crate) fn new(channel: transport::Channel) -> Self {
        Self(channel)
    }
}

impl Service<Request<ReplayBody>> for EndpointChannel {
    type Response = Response<Body>;
    type Error = AttemptError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, AttemptError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), AttemptError>> {
        Poll::Ready(ready!(self.0.poll_ready(cx)).map_err(AttemptError::transport))
    }

    fn call(&mut self, mut request: Request<ReplayBody>) -> Self::Future {
        if let Some(deadline) = request.extensions().get::<Deadline>() {
            let left = deadline.header(now());
            request.headers_mut().insert(GRPC_TIMEOUT, left);
        }
        let called = self.0.call(request.map(Body::new));
        Box::pin(async move {
            let response = called.await.map_err(AttemptError::transport)?;
            // A status in the headers is that of a call without a response: the server has sent nothing else.
            match Status::from_header_map(response.headers()) {
                Some(status) if status.code() == Code::Unavailable => Err(AttemptError::Unavailable(status)),
                _ => Ok(response),
            }
        })
    }
}

/// Why an attempt has no response.
#[derive(Debug)]
pub(crate) enum AttemptError {
    Transport(BoxError),
    /// The server answered UNAVAILABLE before anything else.
    Unavailable(Status),
}

impl AttemptError {
    fn transport(error: transport::Error) -> Self {
        let is_connect = chain(&error).any(|error| error.is::<tonic::ConnectError>());
        // What the time limit for connecting, TLS included, returns without a layer around it.
        let is_connect = is_connect
            || error
                .source()
                .and_then(|cause| cause.downcast_ref())
                .is_some_and(|cause: &io::Error| cause.kind() == io::ErrorKind::TimedOut);
        Self::Transport(if is_connect { ConnectError::new(error).into() } else { error.into() })
    }
}

impl fmt::Display for AttemptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(error) => error.fmt(f),
            Self::Unavailable(status) => write!(f, "the server answered UNAVAILABLE: {}", status.message()),
        }
    }
}

impl StdError for AttemptError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Transport(error) => Some(&**error),
            Self::Unavailable(_) => None,
        }
    }
}

/// Which calls go to another endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GrpcRetry {
    pub(crate) retry_unavailable: bool,
}

impl RetryPolicy<Request<ReplayBody>, Response<Body>, AttemptError> for GrpcRetry {
    type Response = Response<InFlightBody<Body>>;

    fn classify(&self, result: &Result<Response<Body>, AttemptError>) -> Outcome {
        RetryPolicy::<Request<ReplayBody>, _, _>::classify(&HttpRetry::new(), result)
    }

    fn finish(&self, response: Response<Body>, request: InFlight) -> Self::Response {
        BodyEnd::finish(response, request)
    }

    fn clone_request(&self, request: &Request<ReplayBody>) -> Option<Request<ReplayBody>> {
        Some(request.clone())
    }

    fn is_replayable(&self, copy: &Request<ReplayBody>) -> bool {
        copy.body().is_replayable()
    }

    fn should_retry(&self, request: &Request<ReplayBody>, result: &Result<Response<Body>, AttemptError>) -> bool {
        match result {
            Err(AttemptError::Unavailable(status)) => {
                let has_time = |delay| {
                    let deadline = request.extensions().get::<Deadline>();
                    deadline.is_none_or(|deadline| now() + delay < deadline.at())
                };
                self.retry_unavailable && pushback(status).is_some_and(has_time)
            }
            result => HttpRetry::new().should_retry(request, result),
        }
    }

    fn retry_delay(&self, result: &Result<Response<Body>, AttemptError>) -> Duration {
        match result {
            Err(AttemptError::Unavailable(status)) => pushback(status).unwrap_or_default(),
            _ => Duration::ZERO,
        }
    }

    fn is_refused(&self, error: &AttemptError) -> bool {
        discovery_tower::is_refused(error)
    }
}

/// How long the server asks to wait before a retry; `None` if it asks for no retry (gRFC A6: a negative or malformed value).
fn pushback(status: &Status) -> Option<Duration> {
    let Some(value) = status.metadata().get("grpc-retry-pushback-ms") else { return Some(Duration::ZERO) };
    let millis: u32 = value.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_millis(millis.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// gRFC A6, "Pushback".
    #[test]
    fn a_negative_or_malformed_pushback_asks_for_no_retry() {
        let mut status = Status::unavailable("busy");
        assert_eq!(pushback(&status), Some(Duration::ZERO));
        for (text, delay) in [("250", Some(250)), ("0", Some(0)), ("-1", None), ("soon", None)] {
            status.metadata_mut().insert("grpc-retry-pushback-ms", text.parse().unwrap());
            assert_eq!(pushback(&status), delay.map(Duration::from_millis), "{text}");
        }
    }
}
