//! The channel.

use std::{
    error::Error as StdError,
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use discovery_core::{
    Error as DiscoveryError, Resolver, Upstream,
    name::{NameError, Target},
};
use discovery_tower::{Balance, ConnectError, Error, InFlightBody, ReplayBody};
use http::{Request, Response};
use tonic::{Status, body::Body};
use tower::Service;

use crate::{
    attempt::{AttemptError, EndpointChannel, GrpcRetry},
    builder::ChannelBuilder,
    deadline::Deadline,
};

/// The pause of a call that waits for an endpoint, at first and at most.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// A channel for generated clients that balances each call over the endpoints of one target. It goes where a
/// `tonic::transport::Channel` goes.
///
/// Each endpoint has one HTTP/2 connection, which is established with the first call to the endpoint. `:authority` and the
/// TLS name are those of the Service. Cheap to clone; clones share the connections.
///
/// # Which calls are sent again?
///
/// A call is sent to at most three endpoints, within the [`RetryBudget`](discovery_core::policy::RetryBudget). It is not
/// retried once more than 256 KiB of the request have been read ([`ChannelBuilder::replay_limit`]).
///
/// | what happened | retried |
/// |---|---|
/// | the connection could not be established | every call: the endpoint has not seen it |
/// | the server refused the stream, or the connection was closed before the call was sent (`REFUSED_STREAM`, `GOAWAY`) | every call |
/// | the server answered with the status UNAVAILABLE and nothing else (a trailers-only response) | every call, after the delay of `grpc-retry-pushback-ms`, however long, unless the deadline is sooner; see [`ChannelBuilder::retry_unavailable`] |
/// | anything else, such as a connection that broke | no |
///
/// # Deadlines
///
/// `tonic::Request::set_timeout` limits a call until the head of its response has arrived, including retries and waiting.
/// Each attempt sends the remaining time in `grpc-timeout`. Once the time is up, the status is DEADLINE_EXCEEDED.
///
/// # Errors
/// A call fails with the `Status` of the server, or with UNAVAILABLE and a message that names the target, the last endpoint
/// and the cause.
///
/// # Cancel safety
/// Dropping the future of a call at any point takes the call out of flight. A stream is in flight until it has ended or been
/// dropped.
#[derive(Clone)]
pub struct Channel {
    balance: Balance<EndpointChannel, GrpcRetry>,
    replay_limit: usize,
    wait_for_ready: bool,
}

impl Channel {
    /// Creates a channel to a target, such as `http://_grpc._tcp.rates` or `http://rates.shop:50051`, with the default
    /// settings. Nothing is resolved or connected before the first call.
    ///
    /// # Errors
    /// As [`Resolver::upstream`], and as [`ChannelBuilder::build`].
    pub fn new<T>(resolver: &Resolver, target: T) -> Result<Self, DiscoveryError>
    where
        T: TryInto<Target>,
        NameError: From<T::Error>,
    {
        Self::builder(resolver.upstream(target)?).build()
    }

    /// Configures a channel to the target of `upstream`.
    pub fn builder(upstream: Upstream) -> ChannelBuilder {
        ChannelBuilder::new(upstream)
    }

    pub(crate) fn from_parts(
        balance: Balance<EndpointChannel, GrpcRetry>,
        replay_limit: usize,
        wait_for_ready: bool,
    ) -> Self {
        Self { balance, replay_limit, wait_for_ready }
    }

    /// Returns the upstream whose endpoints receive the calls.
    #[must_use]
    pub fn upstream(&self) -> &Upstream {
        self.balance.upstream()
    }

    fn deadline_exceeded(&self) -> Status {
        let target = self.upstream().target();
        Status::deadline_exceeded(format!(
            "call to {target} exceeded its deadline: no response from an endpoint in time"
        ))
    }

    async fn run(mut self, mut request: Request<ReplayBody>) -> Result<Response<InFlightBody<Body>>, Status> {
        let mut pause = PAUSE;
        loop {
            let copy = self.wait_for_ready.then(|| request.clone());
            match (self.balance.call(request).await, copy) {
                (Err(error), Some(copy)) if is_unready(&error) && copy.body().is_replayable() => request = copy,
                (called, _) => return called.map_err(status),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<InFlightBody<Body>>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    /// Always ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut request = request.map(|body| ReplayBody::new(body, self.replay_limit));
        let channel = self.clone();
        let Some(deadline) = Deadline::from_headers(request.headers(), now()) else {
            return Box::pin(channel.run(request));
        };
        request.extensions_mut().insert(deadline);
        Box::pin(async move {
            match tokio::time::timeout_at(deadline.at().into(), channel.clone().run(request)).await {
                Err(_) => Err(channel.deadline_exceeded()),
                // The channel of the endpoint may have noticed the deadline first, and returns another status for it.
                Ok(Err(_)) if now() >= deadline.at() => Err(channel.deadline_exceeded()),
                Ok(called) => called,
            }
        })
    }
}

/// Whether no endpoint can be reached now.
fn is_unready(error: &Error) -> bool {
    if let Some(error) = error.as_discovery() {
        return !error.is_config() && !error.is_invalid_name() && !error.is_closed();
    }
    chain(error).any(|error| error.is::<ConnectError>())
}

fn status(error: Error) -> Status {
    let answered = chain(&error).find_map(|error| match error.downcast_ref::<AttemptError>() {
        Some(AttemptError::Unavailable(status)) => Some(status.clone()),
        _ => None,
    });
    if let Some(status) = answered {
        return status;
    }
    let code = match error.as_discovery() {
        Some(error) if error.is_config() || error.is_invalid_name() => tonic::Code::InvalidArgument,
        _ => tonic::Code::Unavailable,
    };
    let mut status = Status::new(code, error.to_string());
    status.set_source(std::sync::Arc::new(error));
    status
}

/// The error, its cause, and so on.
pub(crate) fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Reads the clock through tokio, so that a test that pauses time drives everything.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("balance", &self.balance).finish_non_exhaustive()
    }
}
