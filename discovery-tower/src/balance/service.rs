//! The service.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use discovery_core::{
    Attached, Upstream,
    endpoint::Endpoint,
    policy::{Pick, Tried},
};
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
pub struct Balance<S, A = Retry> {
    attached: Attached<S>,
    attempt: Arc<A>,
    patience: Duration,
}

impl<S: Clone + Send + Sync + 'static> Balance<S> {
    /// Balances over the endpoints of `upstream`; `make` makes the service of each, once.
    #[must_use]
    pub fn new(upstream: Upstream, make: impl Fn(&Endpoint) -> S + Send + Sync + 'static) -> Self {
        Self { attached: Attached::new(upstream, make), attempt: Arc::new(Retry::new()), patience: PATIENCE }
    }
}

impl<S, A> Balance<S, A> {
    /// Judges attempts by `attempt` instead of [`Retry`].
    #[must_use]
    pub fn with_attempt<B>(self, attempt: B) -> Balance<S, B> {
        Balance { attached: self.attached, attempt: Arc::new(attempt), patience: self.patience }
    }

    /// Sets how long a call waits for an endpoint when there is none; 3 s by default. With zero it fails as soon
    /// as it is known that there is none: at once, but for the first answer of the sources.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
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
        let call = Call { attached: self.attached.clone(), attempt: self.attempt.clone(), patience: self.patience };
        Box::pin(call.run(request))
    }
}

struct Call<S, A> {
    attached: Attached<S>,
    attempt: Arc<A>,
    patience: Duration,
}

impl<S, A> Call<S, A> {
    async fn run<Req>(self, mut request: Req) -> Result<S::Response, Error>
    where
        S: Service<Req> + Clone + Send + Sync + 'static,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        A: Attempt<Req, S::Response, S::Error>,
    {
        let mut tried = Tried::default();
        let mut last: Option<S::Error> = None;
        loop {
            let (pick, service) = match (self.pick(&tried).await, last.take()) {
                (Ok(picked), _) => picked,
                (Err(_), Some(error)) => return Err(Error::service(error, tried.len())),
                (Err(error), None) => return Err(Error::discovery(error)),
            };
            tried.add(pick.endpoint().identity());
            let copy = (tried.len() < MOST).then(|| self.attempt.copy(&request)).flatten();
            let result = service.oneshot(request).await;
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

    /// Picks, and waits for an endpoint when there is none yet.
    async fn pick(&self, tried: &Tried) -> Result<(Pick, S), discovery_core::Error>
    where
        S: Clone + Send + Sync + 'static,
    {
        match self.attached.pick(tried) {
            Err(error) if !error.is_all_tried() && !error.is_config() => {
                wait(self.attached.upstream(), self.patience).await;
                self.attached.pick(tried)
            }
            picked => picked,
        }
    }
}

/// Waits for an endpoint, or without patience for knowing that there is none. The pick afterwards tells why.
async fn wait(upstream: &Upstream, patience: Duration) {
    if patience.is_zero() {
        let _ = upstream.ready().await;
    } else {
        let _ = tokio::time::timeout(patience, upstream.available()).await;
    }
}

impl<S, A> Clone for Balance<S, A> {
    fn clone(&self) -> Self {
        Self { attached: self.attached.clone(), attempt: self.attempt.clone(), patience: self.patience }
    }
}

impl<S, A> fmt::Debug for Balance<S, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balance")
            .field("attached", &self.attached)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}
