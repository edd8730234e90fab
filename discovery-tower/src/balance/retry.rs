//! What one attempt says about its endpoint, and whether there may be another.

use std::{error::Error as StdError, io};

use discovery_core::policy::Outcome;
use http::{Method, Request, Response, header::RETRY_AFTER};
use hyper_util::client::legacy;

/// Judges attempts: how the endpoint did, and whether the request may go to another one.
pub trait RetryPolicy<Req, Res, Err>: Send + Sync + 'static {
    /// What the result says about the endpoint.
    fn classify(&self, result: &Result<Res, Err>) -> Outcome;

    /// A copy of the request, kept for an endpoint not yet tried; `None` when it cannot be sent twice.
    fn clone_request(&self, request: &Req) -> Option<Req>;

    /// Whether the copy goes to an endpoint not yet tried. Asked for an error only: a response, whatever its
    /// status, is the call's result. By default when no connection came about: the first
    /// endpoint has not seen the request, so that this is safe for every request.
    fn should_retry(&self, copy: &Req, result: &Result<Res, Err>) -> bool {
        let _ = copy;
        self.classify(result) == Outcome::Unreachable
    }
}

/// Sends a request to another endpoint, three at most, when no connection to the first came about: the first one
/// has not seen it, so that this is safe for every request. And when the connection broke before a response, if the
/// method is idempotent (RFC 9110: GET, HEAD, OPTIONS, TRACE, PUT, DELETE).
///
/// For HTTP requests that are `Clone`. A 5xx or an error counts as the endpoint's failure;
/// 429 and 503 with `Retry-After` as overload; everything else, 4xx included, as success.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct HttpRetry {}

impl HttpRetry {
    /// The judge; it has nothing to set.
    #[must_use]
    pub const fn new() -> Self {
        Self {}
    }
}

impl<R, B, Err> RetryPolicy<Request<R>, Response<B>, Err> for HttpRetry
where
    R: Clone,
    Err: StdError + 'static,
{
    fn classify(&self, result: &Result<Response<B>, Err>) -> Outcome {
        of_http(result)
    }

    fn clone_request(&self, request: &Request<R>) -> Option<Request<R>> {
        Some(request.clone())
    }

    fn should_retry(&self, copy: &Request<R>, result: &Result<Response<B>, Err>) -> bool {
        let Err(error) = result else { return false };
        is_connect(error) || is_idempotent(copy.method()) && is_broken(error)
    }
}

/// As [`HttpRetry`], but sends every request to one endpoint only; the request need not be `Clone`.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct NoRetry {}

impl NoRetry {
    /// The judge; it has nothing to set.
    #[must_use]
    pub const fn new() -> Self {
        Self {}
    }
}

impl<Req, B, Err> RetryPolicy<Req, Response<B>, Err> for NoRetry
where
    Err: StdError + 'static,
{
    fn classify(&self, result: &Result<Response<B>, Err>) -> Outcome {
        of_http(result)
    }

    fn clone_request(&self, _: &Req) -> Option<Req> {
        None
    }
}

fn of_http<B>(result: &Result<Response<B>, impl StdError + 'static>) -> Outcome {
    match result {
        Err(error) if is_connect(error) => Outcome::Unreachable,
        Err(_) => Outcome::Failure,
        // Most are, and need no search for a header.
        Ok(response) if response.status().as_u16() < 429 => Outcome::Success,
        Ok(response) => {
            let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            Outcome::from_http_status(response.status().as_u16(), retry_after)
        }
    }
}

/// Whether the error, or one of its causes, says that no connection came about.
///
/// hyper's client knows. The kinds of I/O errors are those that arise while connecting only, whichever client
/// wraps them; a reset or a timeout may come after the request was sent and is no such proof.
fn is_connect(error: &(dyn StdError + 'static)) -> bool {
    chain(error).any(|error| {
        let of_io = error.downcast_ref::<io::Error>().is_some_and(|io| {
            matches!(
                io.kind(),
                io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::HostUnreachable
                    | io::ErrorKind::NetworkUnreachable
                    | io::ErrorKind::AddrNotAvailable
            )
        });
        of_io || error.downcast_ref::<legacy::Error>().is_some_and(legacy::Error::is_connect)
    })
}

/// Whether the connection ended before there was a response. The endpoint may have seen the request.
fn is_broken(error: &(dyn StdError + 'static)) -> bool {
    chain(error).any(|error| {
        let of_io = error.downcast_ref::<io::Error>().is_some_and(|io| {
            matches!(
                io.kind(),
                io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::NotConnected
                    | io::ErrorKind::UnexpectedEof
            )
        });
        // Over HTTP/2 hyper keeps the cause to itself.
        let of_hyper = error
            .downcast_ref::<hyper::Error>()
            .is_some_and(|hyper| !hyper.is_user() && !hyper.is_parse() && !hyper.is_timeout());
        of_io || of_hyper
    })
}

/// The error, what caused it, and so on.
fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// RFC 9110, 9.2.2.
fn is_idempotent(method: &Method) -> bool {
    method.is_safe() || matches!(*method, Method::PUT | Method::DELETE)
}
