//! One attempt: a request on its way to one endpoint, and what it takes to send it again.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use discovery_core::{
    Explanation,
    policy::{
        Outcome, Pick,
        retry::{AttemptFailure, Attempts, FailedAttempt, GiveUp, RetryDecision},
    },
};
use discovery_tower::{InFlight, InFlightBody, head_outcome, is_refused};
use http::{HeaderMap, Method, Version};
use reqwest::{Request, Response, ResponseBuilderExt as _, Url, redirect};
use tokio::time::Sleep;

use super::{endpoints::Pool, now};
use crate::{Error, error::Note, response::EndpointsTried};

/// A request on its way to the endpoint that was picked for it.
pub(super) struct Attempt {
    pick: Pick,
    copy: RequestCopy,
    /// The endpoint answered with a redirect: it is not to blame for what comes afterwards.
    redirected: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Attempt {
    /// An attempt at the picked endpoint, which has `timeout` to begin its answer if the request can be sent again then.
    pub(super) fn new(pick: Pick, copy: RequestCopy, timeout: Option<Duration>) -> Self {
        let timer = timeout.filter(|_| !matches!(copy, RequestCopy::Stream));
        Self { pick, copy, redirected: false, timer: timer.map(|timeout| Box::pin(tokio::time::sleep(timeout))) }
    }

    /// Waits for the response. `None` once, when the attempt timeout is over; the response may be waited for again.
    pub(super) fn response<F: Future>(
        &mut self,
        mut execution: Pin<&mut F>,
    ) -> impl Future<Output = Option<F::Output>> {
        poll_fn(move |context| self.poll(context, execution.as_mut()))
    }

    fn poll<F: Future>(&mut self, context: &mut Context<'_>, execution: Pin<&mut F>) -> Poll<Option<F::Output>> {
        // reqwest asks its redirect policy while it is polled.
        let outer = REDIRECTED.replace(false);
        let polled = execution.poll(context);
        self.redirected |= REDIRECTED.replace(outer);
        match (polled, &mut self.timer) {
            (Poll::Ready(response), _) => Poll::Ready(Some(response)),
            (Poll::Pending, Some(timer)) => {
                ready!(timer.as_mut().poll(context));
                self.timer = None;
                Poll::Ready(None)
            }
            (Poll::Pending, None) => Poll::Pending,
        }
    }

    /// The endpoint answered: reports the outcome. The request is in flight until the body of the response has ended, unless
    /// `head_only`.
    pub(super) fn answered(self, mut response: Response, attempts: &mut Attempts, head_only: bool) -> Response {
        if attempts.is_retry() {
            attempts.record(self.pick.endpoint().identity());
            response.extensions_mut().insert(EndpointsTried(attempts.endpoints_tried()));
        }
        if self.redirected {
            // The body is that of another endpoint.
            self.pick.complete(Outcome::Success, now);
            return response;
        }
        let outcome = head_outcome(response.status(), response.headers());
        let request = InFlight::new(self.pick, outcome).with_trailers(response.headers());
        if head_only || response.content_length() == Some(0) { response } else { in_flight(response, request) }
    }

    /// The attempt timeout is over: returns the request for another endpoint, or `None` if the attempt goes on, because
    /// there is nowhere else to send the request.
    pub(super) fn timed_out(&mut self, attempts: &mut Attempts, pool: &Pool) -> Option<Request> {
        let ended = FailedAttempt::new(AttemptFailure::TimedOut).redirected(self.redirected);
        match pool.decide(attempts, self.pick.endpoint().identity(), ended) {
            RetryDecision::Another => self.copy.take(None),
            _ => None,
        }
    }

    /// Gives up on the endpoint, because another one gets the request.
    pub(super) fn abandon(self) {
        self.pick.complete(Outcome::Failure, now);
    }

    /// The attempt failed: returns the request for the next attempt, with the error in case that there is no endpoint for
    /// it; or the error of the whole request.
    pub(super) fn failed(
        mut self,
        error: reqwest::Error,
        attempts: &mut Attempts,
        pool: &Pool,
    ) -> Result<(Request, Error), Error> {
        let copy = self.copy.take(error.url());
        let ended = FailedAttempt::new(failure(&error)).redirected(self.redirected).replayable(copy.is_some());
        let endpoint = self.pick.endpoint().identity().clone();
        self.pick.complete(if self.redirected { Outcome::Success } else { error_outcome(&error) }, now);
        let decision = pool.decide(attempts, &endpoint, ended);
        let explanation = (error.is_connect() && !self.redirected).then(|| pool.upstream().explain());
        let variable = explanation.as_deref().and_then(Explanation::variable);
        let error = Error::request(error, attempts.endpoints_tried()).at(endpoint).set_by(variable);
        match (decision, copy) {
            (RetryDecision::Another | RetryDecision::Same, Some(request)) => Ok((request, error)),
            (RetryDecision::GiveUp(GiveUp::NotReplayable), _) => Err(error.with_note(Note::Stream)),
            (RetryDecision::GiveUp(GiveUp::Budget), _) => Err(error.with_note(Note::Budget)),
            _ => Err(error),
        }
    }
}

/// What is kept of a request in case that it is sent again.
pub(super) enum RequestCopy {
    /// Nothing: the body is a stream.
    Stream,
    /// Most requests have neither a body nor a timeout of their own, and reqwest's error returns the URL.
    Head(Method, Version, Option<HeaderMap>),
    Whole(Box<Request>),
}

impl RequestCopy {
    /// A copy that holds the URL as well if `with_url`. Otherwise the error of the attempt has to bring it.
    pub(super) fn new(request: &Request, with_url: bool) -> Self {
        if with_url || request.body().is_some() || request.timeout().is_some() {
            return request.try_clone().map_or(Self::Stream, |copy| Self::Whole(Box::new(copy)));
        }
        let headers = request.headers();
        Self::Head(request.method().clone(), request.version(), (!headers.is_empty()).then(|| headers.clone()))
    }

    /// Takes the request out; `url` is where it was sent.
    fn take(&mut self, url: Option<&Url>) -> Option<Request> {
        match (mem::replace(self, Self::Stream), url) {
            (Self::Whole(copy), _) => Some(*copy),
            (Self::Head(method, version, headers), Some(url)) => {
                let mut request = Request::new(method, url.clone());
                *request.version_mut() = version;
                *request.headers_mut() = headers.unwrap_or_default();
                Some(request)
            }
            _ => None,
        }
    }
}

thread_local! {
    /// Whether the request that is being polled was redirected.
    static REDIRECTED: Cell<bool> = const { Cell::new(false) };
}

/// Records redirects; reqwest's own policy decides what becomes of them.
pub(super) fn watch_redirects(builder: reqwest::ClientBuilder) -> reqwest::ClientBuilder {
    let policy = redirect::Policy::default();
    builder.redirect(redirect::Policy::custom(move |attempt| {
        REDIRECTED.set(true);
        policy.redirect(attempt)
    }))
}

/// What `error` says about a retry.
fn failure(error: &reqwest::Error) -> AttemptFailure {
    match error {
        error if is_refused(error) => AttemptFailure::Refused,
        error if error.is_connect() => AttemptFailure::Unsent,
        // What took too long would take too long again.
        error if error.is_request() && !error.is_timeout() => AttemptFailure::Interrupted,
        _ => AttemptFailure::Final,
    }
}

/// The response, whose body keeps `request` in flight.
fn in_flight(response: Response, request: InFlight) -> Response {
    // reqwest keeps the URL beside the response that it wraps, and takes it from an extension.
    let mut url = http::response::Builder::new().url(response.url().clone());
    let (mut parts, body) = http::Response::<reqwest::Body>::from(response).into_parts();
    if let Some(url) = url.extensions_mut() {
        parts.extensions.extend(mem::take(url));
    }
    http::Response::from_parts(parts, reqwest::Body::wrap(InFlightBody::new(body, request))).into()
}

/// What an error says about its endpoint.
fn error_outcome(error: &reqwest::Error) -> Outcome {
    match error {
        error if error.is_connect() => Outcome::Unreachable,
        error if error.is_builder() => Outcome::Success,
        _ => Outcome::Failure,
    }
}
