//! The service.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use discovery_core::{
    EndpointMap, Upstream,
    endpoint::Endpoint,
    policy::{RetryBudget, Tried},
};
use tower::Service;

use super::{HttpRetry, RetryPolicy};
use crate::Error;

/// How long a call waits for an endpoint when there is none, unless set otherwise: a rolling restart of a
/// single pod or a name that is created right now passes unseen, an outage is told within the endpoint_timeout of
/// a caller. linkerd's balancer uses the same 3 s.
const ENDPOINT_TIMEOUT: Duration = Duration::from_secs(3);

/// How many endpoints one call tries at most.
const MOST: usize = 3;

/// Balances each call over the endpoints of an upstream, through the picker of its resolver.
///
/// `Clone`, always ready, and no queue in between: clones share one service of type `S` for each endpoint,
/// and a call clones the one that was picked. It waits inside the call until that service is ready. When no
/// connection to the endpoint came about, or it broke and the request may be sent twice, the call goes to
/// another endpoint, at most three in all; see [`HttpRetry`]. What that adds to the load is bounded: by one
/// [`RetryBudget`] for all clones.
///
/// # Cancel safety
/// Dropping a call's future at any point takes the request out of flight; nothing is learned from it.
pub struct Balance<S, A = HttpRetry>(Arc<Parts<S, A>>);

struct Parts<S, A> {
    attached: EndpointMap<S>,
    attempt: Arc<A>,
    endpoint_timeout: Duration,
    budget: RetryBudget,
}

impl<S: Clone + Send + Sync + 'static> Balance<S> {
    /// Balances over the endpoints of `upstream`; `make` makes the service of each, once.
    #[must_use]
    pub fn new(upstream: Upstream, make: impl Fn(&Endpoint) -> S + Send + Sync + 'static) -> Self {
        let attached = EndpointMap::new(upstream, make);
        Self::of(attached, Arc::new(HttpRetry::new()), ENDPOINT_TIMEOUT)
    }
}

impl<S, A> Balance<S, A> {
    fn of(attached: EndpointMap<S>, attempt: Arc<A>, endpoint_timeout: Duration) -> Self {
        Self(Arc::new(Parts { attached, attempt, endpoint_timeout, budget: RetryBudget::new(now()) }))
    }

    /// Judges attempts by `attempt` instead of [`HttpRetry`].
    #[must_use]
    pub fn with_retry_policy<B>(self, attempt: B) -> Balance<S, B> {
        let attached = self.0.attached.clone();
        Balance::of(attached, Arc::new(attempt), self.0.endpoint_timeout)
    }

    /// Sets how long a call waits for an endpoint when there is none; 3 s by default. With zero it fails as soon
    /// as it is known that there is none: at once, but for the first answer of the sources.
    #[must_use]
    pub fn with_endpoint_timeout(self, endpoint_timeout: Duration) -> Self {
        let (attached, attempt) = (self.0.attached.clone(), self.0.attempt.clone());
        Self::of(attached, attempt, endpoint_timeout)
    }
}

impl<Req, S, A> Service<Req> for Balance<S, A>
where
    Req: Send + 'static,
    S: Service<Req> + Clone + Send + Sync + 'static,
    S::Response: Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    S::Future: Send,
    A: RetryPolicy<Req, S::Response, S::Error>,
{
    type Response = S::Response;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        Box::pin(self.0.clone().run(request))
    }
}

impl<S, A> Parts<S, A> {
    async fn run<Req>(self: Arc<Self>, mut request: Req) -> Result<S::Response, Error>
    where
        S: Service<Req> + Clone + Send + Sync + 'static,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        A: RetryPolicy<Req, S::Response, S::Error>,
    {
        let mut tried = Tried::default();
        let mut last: Option<S::Error> = None;
        self.budget.request();
        loop {
            let (pick, mut service) =
                match (self.attached.pick_timeout(&tried, self.endpoint_timeout).await, last.take()) {
                    (Ok(picked), _) => picked,
                    (Err(_), Some(error)) => return Err(Error::service(error, tried.len())),
                    (Err(error), None) => return Err(Error::discovery(error)),
                };
            let copy = (tried.len() + 1 < MOST).then(|| self.attempt.clone_request(&request)).flatten();
            let result = match poll_fn(|context| service.poll_ready(context)).await {
                Ok(()) => service.call(request).await,
                Err(error) => Err(error),
            };
            let outcome = self.attempt.classify(&result);
            if result.is_ok() {
                pick.complete(outcome, now);
                return result.map_err(|error| Error::service(error, tried.len()));
            }
            tried.add(pick.endpoint().identity());
            pick.complete(outcome, now);
            let copy = copy.filter(|copy| self.attempt.should_retry(copy, &result) && self.has_untried(&tried));
            let in_budget = copy.is_none() || self.budget.retry(now());
            match (result, copy) {
                (Err(error), Some(copy)) if in_budget => {
                    last = Some(error);
                    request = copy;
                }
                (Err(error), Some(_)) => return Err(Error::over_budget(error, tried.len())),
                (result, _) => return result.map_err(|error| Error::service(error, tried.len())),
            }
        }
    }

    /// Whether there may be an endpoint for another attempt: without one nothing is taken from the budget.
    fn has_untried(&self, tried: &Tried) -> bool
    where
        S: Send + Sync + 'static,
    {
        self.attached.upstream().endpoints().iter().any(|endpoint| !tried.contains(endpoint.identity()))
    }
}

/// The clock, through tokio so that a test that pauses time drives everything.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl<S, A> Clone for Balance<S, A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S, A> fmt::Debug for Balance<S, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balance")
            .field("attached", &self.0.attached)
            .field("endpoint_timeout", &self.0.endpoint_timeout)
            .finish_non_exhaustive()
    }
}
