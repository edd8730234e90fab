//! The service.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use discovery_core::{Attached, Upstream, endpoint::Endpoint, policy::Tried};
use tower::{Service, ServiceExt};

use super::{Attempt, Retry};
use crate::Error;

/// How long a call waits for an endpoint when there is none, unless set otherwise: a rolling restart of a
/// single pod or a name that is created right now passes unseen, an outage is told within the patience of
/// a caller. linkerd's balancer uses the same 3 s.
const PATIENCE: Duration = Duration::from_secs(3);

/// How many endpoints one call tries at most.
const MOST: usize = 3;

/// Balances each call over the endpoints of an upstream, through the picker of its resolver.
///
/// `Clone`, always ready, and no queue in between: clones share one service of type `S` for each endpoint,
/// and a call clones the one that was picked. It waits inside the call until that service is ready. When no
/// connection to the endpoint came about, or it broke and the request may be sent twice, the call goes to
/// another endpoint, at most three in all; see [`Retry`].
///
/// # Cancel safety
/// Dropping a call's future at any point takes the request out of flight; nothing is learned from it.
pub struct Balance<S, A = Retry>(Arc<Parts<S, A>>);

struct Parts<S, A> {
    attached: Attached<S>,
    attempt: Arc<A>,
    patience: Duration,
}

impl<S: Clone + Send + Sync + 'static> Balance<S> {
    /// Balances over the endpoints of `upstream`; `make` makes the service of each, once.
    #[must_use]
    pub fn new(upstream: Upstream, make: impl Fn(&Endpoint) -> S + Send + Sync + 'static) -> Self {
        let attached = Attached::new(upstream, make);
        Self(Arc::new(Parts { attached, attempt: Arc::new(Retry::new()), patience: PATIENCE }))
    }
}

impl<S, A> Balance<S, A> {
    /// Judges attempts by `attempt` instead of [`Retry`].
    #[must_use]
    pub fn with_attempt<B>(self, attempt: B) -> Balance<S, B> {
        let attached = self.0.attached.clone();
        Balance(Arc::new(Parts { attached, attempt: Arc::new(attempt), patience: self.0.patience }))
    }

    /// Sets how long a call waits for an endpoint when there is none; 3 s by default. With zero it fails as soon
    /// as it is known that there is none: at once, but for the first answer of the sources.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        let (attached, attempt) = (self.0.attached.clone(), self.0.attempt.clone());
        Self(Arc::new(Parts { attached, attempt, patience }))
    }
}

impl<Req, S, A> Service<Req> for Balance<S, A>
where
    Req: Send + 'static,
    S: Service<Req> + Clone + Send + Sync + 'static,
    S::Response: Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    S::Future: Send,
    A: Attempt<Req, S::Response, S::Error>,
{
    type Response = S::Response;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let parts = self.0.clone();
        Box::pin(async move { parts.run(request).await })
    }
}

impl<S, A> Parts<S, A> {
    async fn run<Req>(&self, mut request: Req) -> Result<S::Response, Error>
    where
        S: Service<Req> + Clone + Send + Sync + 'static,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        A: Attempt<Req, S::Response, S::Error>,
    {
        let mut tried = Tried::default();
        let mut last: Option<S::Error> = None;
        loop {
            let (pick, service) = match (self.attached.pick_within(&tried, self.patience).await, last.take()) {
                (Ok(picked), _) => picked,
                (Err(_), Some(error)) => return Err(Error::service(error, tried.len())),
                (Err(error), None) => return Err(Error::discovery(error)),
            };
            let copy = (tried.len() + 1 < MOST).then(|| self.attempt.copy(&request)).flatten();
            let result = service.oneshot(request).await;
            if result.is_err() {
                tried.add(pick.endpoint().identity());
            }
            let copy = copy.filter(|copy| self.attempt.goes_elsewhere(copy, &result));
            pick.complete(self.attempt.outcome(&result), tokio::time::Instant::now().into_std());
            match (result, copy) {
                (Err(error), Some(copy)) => {
                    last = Some(error);
                    request = copy;
                }
                (result, _) => return result.map_err(|error| Error::service(error, tried.len())),
            }
        }
    }
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
            .field("patience", &self.0.patience)
            .finish_non_exhaustive()
    }
}
