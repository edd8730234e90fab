//! The balancing service.

use std::{
    fmt,
    future::{Future, pending, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use discovery_core::{
    EndpointMap, Upstream,
    endpoint::{Endpoint, Identity},
    policy::{
        Outcome, Pick, RetryBudget, Tried,
        retry::{AttemptFailure, Attempts, FailedAttempt, GiveUp, RetryContext, RetryDecision},
    },
};
use tower::Service;

use super::{HttpRetry, RetryPolicy, drivers::Drivers, settings::Settings};
use crate::{
    Error,
    in_flight::{InFlight, now},
};

/// Balances each call over the endpoints of an upstream, with the policy of its resolver.
///
/// `Balance` is `Clone`, always ready, and needs no queue in front of it: clones share one service of type `S` for each
/// endpoint, and a call clones the service of the endpoint that was picked. The call then waits for that service to be
/// ready.
///
/// A call that fails may be retried on another endpoint: the [`RetryPolicy`] says which calls, [`HttpRetry`] by default.
/// All clones share one [`RetryBudget`], which bounds the load that retries add.
///
/// # Cancel safety
/// Dropping the future of a call at any point takes the request out of flight, and counts neither as success nor as
/// failure of the endpoint.
pub struct Balance<S, P = HttpRetry>(Arc<Inner<S, P>>);

struct Inner<S, P> {
    services: EndpointMap<S>,
    drivers: Drivers,
    policy: Arc<P>,
    settings: Settings,
    budget: RetryBudget,
}

impl<S: Clone + Send + Sync + 'static> Balance<S> {
    /// Balances over the endpoints of `upstream`; `make` makes the service of each endpoint, once.
    #[must_use]
    pub fn new(upstream: Upstream, make: impl Fn(&Endpoint) -> S + Send + Sync + 'static) -> Self {
        let services = EndpointMap::new(upstream, make);
        Self::from_parts(services, Arc::new(HttpRetry::new()), Settings::default())
    }
}

impl<S: Send + Sync + 'static, P> Balance<S, P> {
    /// Returns the upstream whose endpoints receive the calls.
    #[must_use]
    pub fn upstream(&self) -> &Upstream {
        self.0.services.upstream()
    }
}

impl<S, P> Balance<S, P> {
    fn from_parts(services: EndpointMap<S>, policy: Arc<P>, settings: Settings) -> Self {
        let (drivers, budget) = (Drivers::default(), RetryBudget::new(now()));
        Self(Arc::new(Inner { services, drivers, policy, settings, budget }))
    }

    fn with_settings(&self, change: impl FnOnce(&mut Settings)) -> Self {
        let Inner { services, policy, settings, .. } = &*self.0;
        let mut settings = *settings;
        change(&mut settings);
        Self::from_parts(services.clone(), policy.clone(), settings)
    }

    /// Sets the retry policy; [`HttpRetry`] by default.
    #[must_use]
    pub fn with_retry_policy<Q>(self, policy: Q) -> Balance<S, Q> {
        Balance::from_parts(self.0.services.clone(), Arc::new(policy), self.0.settings)
    }

    /// Sets how long a call waits for an endpoint if there is none; 3 s by default.
    ///
    /// With zero, a call fails as soon as the sources have answered and none of them knows an endpoint.
    #[must_use]
    pub fn with_endpoint_timeout(self, endpoint_timeout: Duration) -> Self {
        self.with_settings(|settings| settings.endpoint_timeout = endpoint_timeout)
    }

    /// Sets how long an endpoint that has left the set may be silent before its requests go to another endpoint;
    /// [`REMOVED_SILENCE`](discovery_core::policy::retry::REMOVED_SILENCE) by default, which is 1 s.
    ///
    /// It applies to requests that wait for their result, are idempotent
    /// ([`RetryPolicy::is_idempotent`](super::RetryPolicy::is_idempotent)) and can be sent again. Such a request counts as
    /// a failure of the silent endpoint. A request that has nowhere else to go keeps waiting.
    #[must_use]
    pub fn with_removed_silence(self, removed_silence: Duration) -> Self {
        self.with_settings(|settings| settings.removed_silence = removed_silence)
    }

    /// Connects to unreachable endpoints in the background until they can be reached again. [`Upstream::probe`] explains
    /// `default_port` and `connect_timeout`. Switch this on if your services connect over TCP to the addresses of their
    /// endpoints. Without it, one call in each back-off period tries an unreachable endpoint.
    #[must_use]
    pub fn with_probe(self, default_port: u16, connect_timeout: Duration) -> Self {
        self.with_settings(|settings| settings.probe = Some((default_port, connect_timeout)))
    }
}

impl<Req, S, P> Service<Req> for Balance<S, P>
where
    Req: Send + 'static,
    S: Service<Req> + Clone + Send + Sync + 'static,
    S::Response: Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    S::Future: Send,
    P: RetryPolicy<Req, S::Response, S::Error>,
{
    type Response = P::Response;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<P::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        Box::pin(self.0.clone().run(request))
    }
}

impl<S, P> Inner<S, P>
where
    S: Clone + Send + Sync + 'static,
{
    async fn run<Req>(self: Arc<Self>, mut request: Req) -> Result<P::Response, Error>
    where
        S: Service<Req>,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        P: RetryPolicy<Req, S::Response, S::Error>,
    {
        let mut attempts = Attempts::new(self.policy.is_idempotent(&request));
        let mut last: Option<Error> = None;
        self.budget.request();
        loop {
            let (pick, mut service) = match self.services.pick(attempts.tried()) {
                Ok(picked) => picked,
                Err(_) => match Box::pin(self.wait(&mut attempts)).await {
                    Ok(picked) => picked,
                    Err(error) => return Err(last.unwrap_or_else(|| Error::discovery(error))),
                },
            };
            let (pick, ready) = match poll_fn(|context| Poll::Ready(service.poll_ready(context))).await {
                Poll::Ready(ready) => (pick, ready.map(|()| service)),
                Poll::Pending => Box::pin(self.pass_over((pick, service), attempts.tried())).await,
            };
            attempts.begin();
            let copy = if attempts.is_last() { None } else { self.policy.clone_request(&request) };
            let called = match ready {
                Ok(mut service) => {
                    let is_replayable = |copy: &Req| self.policy.is_replayable(copy);
                    self.result(service.call(request), copy, is_replayable, &pick, &mut attempts).await
                }
                Err(error) => Ok((Err(error), copy)),
            };
            let (result, copy) = match called {
                Ok(ended) => ended,
                Err(copy) => {
                    pick.complete(Outcome::Failure, now);
                    request = copy;
                    continue;
                }
            };
            let outcome = self.policy.classify(&result);
            let failure = self.failure(copy.as_ref(), &result);
            let delay = self.policy.retry_delay(&result);
            match result {
                Ok(response) => return Ok(self.policy.finish(response, InFlight::new(pick, outcome))),
                Err(error) => {
                    let endpoint = self.complete(pick, outcome);
                    let copy = copy.filter(|copy| self.policy.is_replayable(copy));
                    let (copy, error) = self.next(&mut attempts, endpoint, failure, copy, error.into())?;
                    if !delay.is_zero() {
                        Box::pin(tokio::time::sleep(delay)).await;
                    }
                    request = copy;
                    last = Some(error);
                }
            }
        }
    }

    /// Waits for the result of a call, and returns it with the copy of the request. Returns the copy alone if another
    /// endpoint gets the request, because this one has left the set and is silent.
    async fn result<Req, F: Future>(
        &self,
        call: F,
        mut copy: Option<Req>,
        is_replayable: impl Fn(&Req) -> bool,
        pick: &Pick,
        attempts: &mut Attempts,
    ) -> Result<(F::Output, Option<Req>), Req> {
        let may_leave = copy.is_some() && attempts.may_time_out();
        let mut call = pin!(call);
        loop {
            let silent = async {
                match may_leave {
                    true => {
                        let silence = self.settings.removed_silence;
                        self.services.upstream().removed_and_silent(pick.loaded_endpoint(), silence).await
                    }
                    false => pending().await,
                }
            };
            if let Some(result) = unless(call.as_mut(), pin!(silent)).await {
                return Ok((result, copy));
            }
            let silent = FailedAttempt::new(AttemptFailure::RemovedSilent);
            let silent = silent.replayable(copy.as_ref().is_some_and(&is_replayable));
            if self.decide(attempts, pick.endpoint().identity(), silent) == RetryDecision::Another
                && let Some(copy) = copy.take()
            {
                return Err(copy);
            }
        }
    }

    /// Records that an attempt failed, and returns its endpoint.
    fn complete(&self, pick: Pick, outcome: Outcome) -> Identity {
        let endpoint = pick.loaded_endpoint().clone();
        pick.complete(outcome, now);
        if let (Outcome::Unreachable, Some((port, timeout))) = (outcome, self.settings.probe) {
            self.services.upstream().probe(&endpoint, port, timeout);
        }
        endpoint.identity().clone()
    }

    fn decide(&self, attempts: &mut Attempts, endpoint: &Identity, attempt: FailedAttempt) -> RetryDecision {
        let has_untried = |tried: &Tried| self.services.upstream().has_untried(tried);
        attempts.next(endpoint, attempt, &RetryContext::new(&self.budget, &now, &has_untried))
    }

    /// A ready service, or the error of its readiness, and its endpoint. The service of `first` is not ready.
    ///
    /// Endpoints that are not ready are passed over, and driven in the background. They are waited for only if no endpoint
    /// is ready.
    async fn pass_over<Req>(&self, first: (Pick, S), tried: &Tried) -> (Pick, Result<S, S::Error>)
    where
        S: Service<Req>,
    {
        let mut excluded = tried.clone();
        excluded.add(first.0.endpoint().identity());
        let mut pending = vec![first];
        while let Ok((pick, mut service)) = self.services.pick(&excluded) {
            match poll_fn(|context| Poll::Ready(service.poll_ready(context))).await {
                Poll::Ready(ready) => {
                    let endpoints = self.services.upstream().endpoints().to_arc();
                    for (pick, service) in pending {
                        self.drivers.drive(pick.endpoint().identity().clone(), service, &endpoints);
                    }
                    return (pick, ready.map(|()| service));
                }
                Poll::Pending => {
                    excluded.add(pick.endpoint().identity());
                    pending.push((pick, service));
                }
            }
        }
        let (at, ready) = poll_fn(|context| {
            let polled = |(at, (_, service)): (usize, &mut (Pick, S))| match service.poll_ready(context) {
                Poll::Ready(ready) => Some((at, ready)),
                Poll::Pending => None,
            };
            pending.iter_mut().enumerate().find_map(polled).map_or(Poll::Pending, Poll::Ready)
        })
        .await;
        let (pick, service) = pending.swap_remove(at);
        (pick, ready.map(|()| service))
    }

    /// The request for the next attempt after a failed one, with the error in case that there is no endpoint for it; or the
    /// error of the call.
    fn next<Req>(
        &self,
        attempts: &mut Attempts,
        endpoint: Identity,
        failure: AttemptFailure,
        copy: Option<Req>,
        error: Box<dyn std::error::Error + Send + Sync>,
    ) -> Result<(Req, Error), Error> {
        let attempt = FailedAttempt::new(failure).replayable(copy.is_some());
        let decision = self.decide(attempts, &endpoint, attempt);
        let error = Error::service(error, self.services.upstream().target(), endpoint, attempts.endpoints_tried());
        match (decision, copy) {
            (RetryDecision::Another | RetryDecision::Same, Some(copy)) => Ok((copy, error)),
            (RetryDecision::GiveUp(GiveUp::Budget), _) => Err(error.over_budget()),
            _ => Err(error),
        }
    }

    /// An endpoint and its service, as soon as there is one.
    async fn wait(&self, attempts: &mut Attempts) -> Result<(Pick, S), discovery_core::Error> {
        match self.services.pick_timeout(attempts.tried(), self.settings.endpoint_timeout).await {
            Err(error) if error.is_all_tried() && attempts.fall_back_to_refused() => {
                self.services.pick(attempts.tried())
            }
            picked => picked,
        }
    }

    fn failure<Req, Res, Err>(&self, copy: Option<&Req>, result: &Result<Res, Err>) -> AttemptFailure
    where
        P: RetryPolicy<Req, Res, Err>,
    {
        match result {
            Err(error) if self.policy.is_refused(error) => AttemptFailure::Refused,
            // The policy allows the retry, whether or not the endpoint has seen the request.
            Err(_) if copy.is_some_and(|copy| self.policy.should_retry(copy, result)) => AttemptFailure::Unsent,
            _ => AttemptFailure::Final,
        }
    }
}

/// The output of `work`, or `None` if `end` is there before.
async fn unless<F: Future>(mut work: Pin<&mut F>, mut end: Pin<&mut impl Future<Output = ()>>) -> Option<F::Output> {
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => end.as_mut().poll(context).map(|()| None),
    })
    .await
}

impl<S, P> Clone for Balance<S, P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S, P> fmt::Debug for Balance<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balance")
            .field("services", &self.0.services)
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}
