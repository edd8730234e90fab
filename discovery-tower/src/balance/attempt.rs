//! What one attempt says about its endpoint, and whether there may be another.

use std::{error::Error as StdError, io, time::Duration};

use discovery_core::policy::Outcome;
use http::{Response, StatusCode, header::RETRY_AFTER};

/// Judges attempts: how the endpoint did, and whether the request may go to another one.
pub trait Attempt<Req, Res, Err>: Send + Sync + 'static {
    /// What the result says about the endpoint.
    fn outcome(&self, result: &Result<Res, Err>) -> Outcome;

    /// A copy of the request, kept for an endpoint not yet tried in case that no connection to the first
    /// one comes about; `None` when it cannot be sent twice.
    fn copy(&self, request: &Req) -> Option<Req>;
}

/// Sends a request to one endpoint more when no connection to the first came about: the first one has not
/// seen it, so that this is safe for every request.
///
/// For requests that are `Clone` and HTTP responses. A 5xx or an error counts as the endpoint's failure;
/// 429 and 503 with `Retry-After` as overload; everything else, 4xx included, as success.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Retry {}

impl Retry {
    /// The judge; it has nothing to set.
    #[must_use]
    pub const fn new() -> Self {
        Self {}
    }
}

impl<Req, B, Err> Attempt<Req, Response<B>, Err> for Retry
where
    Req: Clone,
    Err: StdError + 'static,
{
    fn outcome(&self, result: &Result<Response<B>, Err>) -> Outcome {
        of_http(result)
    }

    fn copy(&self, request: &Req) -> Option<Req> {
        Some(request.clone())
    }
}

/// As [`Retry`], but sends every request to one endpoint only; the request need not be `Clone`.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Once {}

impl Once {
    /// The judge; it has nothing to set.
    #[must_use]
    pub const fn new() -> Self {
        Self {}
    }
}

impl<Req, B, Err> Attempt<Req, Response<B>, Err> for Once
where
    Err: StdError + 'static,
{
    fn outcome(&self, result: &Result<Response<B>, Err>) -> Outcome {
        of_http(result)
    }

    fn copy(&self, _: &Req) -> Option<Req> {
        None
    }
}

fn of_http<B>(result: &Result<Response<B>, impl StdError + 'static>) -> Outcome {
    match result {
        Err(error) if is_connect(error) => Outcome::Unreachable,
        Err(_) => Outcome::Failure,
        Ok(response) => match response.status() {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                Outcome::Overloaded { retry_after: seconds.map(Duration::from_secs) }
            }
            status if status.is_server_error() => Outcome::Failure,
            _ => Outcome::Success,
        },
    }
}

/// Whether the error, or one of its causes, says that no connection came about.
///
/// These kinds arise while connecting only, whichever client wraps them. A reset or a timeout may come after
/// the request was sent and is no such proof.
pub(super) fn is_connect(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return matches!(
                io.kind(),
                io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::HostUnreachable
                    | io::ErrorKind::NetworkUnreachable
                    | io::ErrorKind::AddrNotAvailable
            );
        }
        next = error.source();
    }
    false
}
