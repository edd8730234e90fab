//! One attempt: a request on its way to one endpoint, and what it takes to send it again.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use discovery_core::{
    Explanation,
    policy::{
        LoadedEndpoint, Outcome, Pick,
        retry::{AttemptFailure, Attempts, FailedAttempt, GiveUp, RetryDecision},
    },
};
use discovery_tower::{InFlight, head_outcome, is_interrupted, is_refused};
use http::{HeaderMap, Method, Version};
use reqwest::{Request, Response, Url, redirect};
use tokio::time::Sleep;

use super::{
    connector,
    connects::Connects,
    endpoints::Pool,
    in_flight::{in_flight, without_user_info},
    now,
};
use crate::{Error, error::Note, response::EndpointsTried};

/// A request on its way to the endpoint that was picked for it.
pub(super) struct Attempt {
    pick: Pick,
    copy: RequestCopy,
    /// The endpoint answered with a redirect: it is not to blame for what comes afterwards.
    redirected: bool,
    timer: Option<Pin<Box<Sleep>>>,
    connecting: Option<Box<ConnectPhase>>,
}

impl Attempt {
    /// An attempt at the picked endpoint, which has `timeout` to begin its answer.
    pub(super) fn new(pick: Pick, copy: RequestCopy, timeout: Option<Duration>) -> Self {
        let timer = timeout.map(|timeout| Box::pin(tokio::time::sleep(timeout)));
        Self { pick, copy, redirected: false, timer, connecting: None }
    }

    /// Waits for the response, for the attempt timeout, or for the `silence` of an endpoint that has left the set. After the
    /// latter two the response may be waited for again, with another `silence`.
    pub(super) fn wait<F: Future>(
        &mut self,
        mut execution: Pin<&mut F>,
        mut silence: Pin<&mut impl Future<Output = ()>>,
    ) -> impl Future<Output = Waited<F::Output>> {
        poll_fn(move |context| {
            if let Poll::Ready(response) = self.poll(context, execution.as_mut()) {
                return Poll::Ready(Waited::Response(response));
            }
            if let Some(timer) = &mut self.timer
                && timer.as_mut().poll(context).is_ready()
            {
                self.timer = None;
                return Poll::Ready(Waited::NoAnswer(AttemptFailure::TimedOut));
            }
            if let Some(connecting) = &mut self.connecting
                && connecting.poll_patience(context).is_ready()
            {
                return Poll::Ready(Waited::NoAnswer(AttemptFailure::Unsent));
            }
            // Behind a redirect it is another endpoint that is silent.
            if self.redirected {
                return Poll::Pending;
            }
            silence.as_mut().poll(context).map(|()| Waited::NoAnswer(AttemptFailure::RemovedSilent))
        })
    }

    fn poll<F: Future>(&mut self, context: &mut Context<'_>, execution: Pin<&mut F>) -> Poll<F::Output> {
        // reqwest asks its redirect policy while it is polled.
        let outer = REDIRECTED.replace(false);
        let (polled, waits_for) = connector::watch(|| execution.poll(context));
        self.redirected |= REDIRECTED.replace(outer);
        self.track(waits_for, polled.is_ready());
        polled
    }

    /// `waits_for`: the endpoint that the request, when it was polled, could not be sent to yet.
    fn track(&mut self, waits_for: Option<Arc<Connects>>, has_ended: bool) {
        match waits_for {
            // A connection to where the redirect leads.
            _ if self.redirected => self.end_phase(),
            // What ends the request may be a time limit, which does not poll the connection again.
            None if has_ended => {}
            None => self.end_phase(),
            Some(_) if self.connecting.is_some() => {}
            Some(connects) => {
                self.connecting = Some(Box::new(ConnectPhase::new(connects, self.pick.loaded_endpoint().clone())));
            }
        }
    }

    fn end_phase(&mut self) {
        if let Some(mut connecting) = self.connecting.take() {
            connecting.end();
        }
    }

    /// The endpoint answered: reports the outcome. The request is in flight until the body of the response has ended, unless
    /// `head_only`.
    pub(super) fn answered(mut self, mut response: Response, attempts: &mut Attempts, head_only: bool) -> Response {
        self.end_phase();
        if attempts.is_retry() {
            attempts.record(self.pick.endpoint().identity());
            response.extensions_mut().insert(EndpointsTried(attempts.endpoints_tried()));
        }
        if self.redirected {
            // The body is that of another endpoint.
            self.pick.complete(Outcome::Success, now);
            return without_user_info(response);
        }
        let outcome = head_outcome(response.status(), response.headers());
        let url = self.copy.url.take();
        let request = InFlight::new(self.pick, outcome).with_trailers(response.headers());
        if head_only { response } else { in_flight(response, url, request) }
    }

    /// The endpoint does not answer, for the reason `failure`: returns the request for another endpoint, which counts as a
    /// failure of this one. Returns `None` if the attempt goes on, because there is nowhere else to send the request.
    pub(super) fn given_up(
        &mut self,
        failure: AttemptFailure,
        attempts: &mut Attempts,
        pool: &Pool,
    ) -> Option<Request> {
        // Nothing of the request was sent: whether or not there is another endpoint for it, this one is unreachable.
        let is_unsent = failure == AttemptFailure::Unsent;
        if is_unsent {
            self.pick.record(Outcome::Unreachable, now);
            self.connecting.iter().for_each(|connecting| connecting.watch());
        }
        let ended = FailedAttempt::new(failure).redirected(self.redirected).replayable(self.copy.is_whole());
        let decision = pool.decide(attempts, self.pick.endpoint().identity(), ended);
        let request = (decision == RetryDecision::Another).then(|| self.copy.take(None)).flatten()?;
        if !is_unsent {
            self.pick.record(Outcome::Failure, now);
        }
        self.end_phase();
        Some(request)
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
        let is_retained = self.pick.endpoint().is_retained() && error.is_connect() && !self.redirected;
        let endpoint = self.pick.endpoint().identity().clone();
        let connecting = self.connecting.take();
        let outcome = match &connecting {
            _ if self.redirected => Outcome::Success,
            // The caller's time limit struck while the connection was being established.
            Some(_) if error.is_timeout() => Outcome::Unreachable,
            _ => error_outcome(&error),
        };
        self.pick.complete(outcome, now);
        if let Some(mut connecting) = connecting {
            if outcome == Outcome::Unreachable {
                connecting.watch();
            }
            connecting.end();
        }
        let decision = pool.decide(attempts, &endpoint, ended);
        let explanation = (error.is_connect() && !self.redirected).then(|| pool.upstream().explain());
        let variable = explanation.as_deref().and_then(Explanation::variable);
        let error = Error::request(error, attempts.endpoints_tried()).at(endpoint).set_by(variable);
        let error = if is_retained { error.with_note(Note::Retained) } else { error };
        match (decision, copy) {
            (RetryDecision::Another | RetryDecision::Same, Some(request)) => Ok((request, error)),
            (RetryDecision::GiveUp(GiveUp::NotReplayable), _) => Err(error.with_note(Note::Stream)),
            (RetryDecision::GiveUp(GiveUp::Budget), _) => Err(error.with_note(Note::Budget)),
            _ => Err(error),
        }
    }
}

/// A request that waits for a connection to its endpoint: nothing of it was sent. If the caller gives it up meanwhile,
/// after longer than connections take, the endpoint counts as unreachable.
struct ConnectPhase {
    connects: Arc<Connects>,
    endpoint: Arc<LoadedEndpoint>,
    since: Instant,
    /// Until the request goes to another endpoint.
    patience: Option<Pin<Box<Sleep>>>,
    has_ended: bool,
}

impl ConnectPhase {
    fn new(connects: Arc<Connects>, endpoint: Arc<LoadedEndpoint>) -> Self {
        let patience = Some(Box::pin(tokio::time::sleep(connects.patience())));
        Self { connects, endpoint, since: now(), patience, has_ended: false }
    }

    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(patience) = &mut self.patience else { return Poll::Pending };
        let polled = patience.as_mut().poll(context);
        if polled.is_ready() {
            self.patience = None;
        }
        polled
    }

    /// Finds out in the background when the endpoint can be connected to.
    fn watch(&self) {
        self.connects.watch(&self.endpoint);
    }

    /// The caller did not give the request up.
    fn end(&mut self) {
        self.has_ended = true;
    }
}

impl Drop for ConnectPhase {
    fn drop(&mut self) {
        let now = now();
        if !self.has_ended && now.saturating_duration_since(self.since) >= self.connects.suspicious() {
            self.endpoint.connect_failed(now);
            self.watch();
        }
    }
}

/// What came of waiting for a response.
pub(super) enum Waited<R> {
    Response(R),
    /// The attempt timeout is over, connecting takes too long, or the endpoint has left the set and is silent. The
    /// attempt is still under way.
    NoAnswer(AttemptFailure),
}

/// What is kept of a request in case that it is sent again.
pub(super) struct RequestCopy {
    kept: Kept,
    /// `None` where only an error leads to a retry, because reqwest's error returns the URL, and in a `Kept::Whole`.
    url: Option<Url>,
}

enum Kept {
    /// Nothing: the body is a stream.
    Stream,
    /// Most requests have neither a body nor a timeout of their own.
    Head(Method, Version, Option<HeaderMap>),
    Whole(Box<Request>),
}

impl RequestCopy {
    /// A copy that holds the URL as well if `with_url`. Otherwise the error of the attempt has to bring it.
    pub(super) fn new(request: &Request, with_url: bool) -> Self {
        if request.body().is_some() || request.timeout().is_some() {
            let kept = request.try_clone().map_or(Kept::Stream, |copy| Kept::Whole(Box::new(copy)));
            return Self { kept, url: None };
        }
        let headers = (!request.headers().is_empty()).then(|| request.headers().clone());
        let kept = Kept::Head(request.method().clone(), request.version(), headers);
        Self { kept, url: with_url.then(|| request.url().clone()) }
    }

    /// Returns whether the copy can be sent as it stands.
    pub(super) fn is_whole(&self) -> bool {
        self.url.is_some() || matches!(self.kept, Kept::Whole(_))
    }

    /// Takes the request out; `url` is where it was sent.
    fn take(&mut self, url: Option<&Url>) -> Option<Request> {
        match mem::replace(&mut self.kept, Kept::Stream) {
            Kept::Whole(copy) => Some(*copy),
            Kept::Head(method, version, headers) => {
                let mut request = Request::new(method, self.url.take().or_else(|| url.cloned())?);
                *request.version_mut() = version;
                *request.headers_mut() = headers.unwrap_or_default();
                Some(request)
            }
            Kept::Stream => None,
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
        // reqwest counts unanswered pings and the kernel's timeouts as timeouts, too. What took too long by the caller's own
        // limit would take too long again.
        error if error.is_request() && (!error.is_timeout() || is_interrupted(error)) => AttemptFailure::Interrupted,
        _ => AttemptFailure::Final,
    }
}

/// What an error says about its endpoint.
fn error_outcome(error: &reqwest::Error) -> Outcome {
    match error {
        error if error.is_connect() => Outcome::Unreachable,
        error if error.is_builder() => Outcome::Success,
        _ => Outcome::Failure,
    }
}
