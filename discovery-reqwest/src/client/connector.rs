//! The layer around the connector of an endpoint's client: connects to the endpoint's own port, and says which requests
//! wait for a connection.

use std::{
    cell::Cell,
    fmt::Debug,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Instant,
};

use tower::{Layer, Service};

use super::{BoxError, connects::Connects, endpoint_port::EndpointPort, now};

type Work<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// One layer for both purposes, since reqwest boxes and hyper clones every layer for each request.
#[derive(Clone)]
pub(super) struct ConnectorLayer {
    port: Option<EndpointPort>,
    connects: Arc<Connects>,
}

impl ConnectorLayer {
    pub(super) fn new(port: Option<EndpointPort>, connects: Arc<Connects>) -> Self {
        Self { port, connects }
    }
}

impl<S> Layer<S> for ConnectorLayer {
    type Service = Connector<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let shared = Arc::new(Shared { inner: Mutex::new(inner), layer: self.clone() });
        Connector { shared, polled: None }
    }
}

/// The connector with the layer. hyper clones its connector several times for each request and connects with few of the
/// clones, so the inner connector is cloned when it is needed.
pub(super) struct Connector<S> {
    shared: Arc<Shared<S>>,
    /// The inner connector that was polled and is ready.
    polled: Option<S>,
}

struct Shared<S> {
    inner: Mutex<S>,
    layer: ConnectorLayer,
}

impl<S: Clone> Shared<S> {
    fn inner(&self) -> S {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<S> Clone for Connector<S> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), polled: None }
    }
}

impl<S, R> Service<R> for Connector<S>
where
    S: Service<R, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send,
    S::Response: Send + 'static,
    R: Debug + Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Connecting<S::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.polled.get_or_insert_with(|| self.shared.inner()).poll_ready(context)
    }

    fn call(&mut self, destination: R) -> Self::Future {
        // The service that was polled is used: another clone may not be ready.
        let mut inner = self.polled.take().unwrap_or_else(|| self.shared.inner());
        let ConnectorLayer { port, connects } = self.shared.layer.clone();
        let work = async move {
            let destination = match port {
                Some(port) => port.instead_of(destination).await?,
                None => destination,
            };
            inner.call(destination).await
        };
        Connecting { work: Some(Box::pin(work)), connects, begun: now() }
    }
}

/// A connection that is being established. If a request gives it up, it goes on in the background for a while, to find
/// out whether the endpoint can be reached and how long that takes.
pub(super) struct Connecting<T: Send + 'static> {
    /// `None` when it has ended.
    work: Option<Work<T>>,
    connects: Arc<Connects>,
    begun: Instant,
}

impl<T: Send + 'static> Future for Connecting<T> {
    type Output = Result<T, BoxError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(work) = &mut this.work else { return Poll::Pending };
        let polled = work.as_mut().poll(context);
        if !matches!(polled, Poll::Ready(Ok(_))) {
            WAITING.set(Some(this.connects.clone()));
        }
        let connected = ready!(polled);
        this.work = None;
        if connected.is_ok() {
            this.connects.connected(this.begun);
        }
        Poll::Ready(connected)
    }
}

impl<T: Send + 'static> Drop for Connecting<T> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.connects.clone().go_on(work, self.begun);
        }
    }
}

thread_local! {
    /// The endpoint that the request being polled cannot be sent to yet: its connection is being established, or could
    /// not be. A request that got another connection meanwhile does not poll this one any more.
    static WAITING: Cell<Option<Arc<Connects>>> = const { Cell::new(None) };
}

/// Calls `poll`, which polls a request, and returns what that request waits for.
pub(super) fn watch<T>(poll: impl FnOnce() -> T) -> (T, Option<Arc<Connects>>) {
    let outer = WAITING.take();
    let polled = poll();
    (polled, WAITING.replace(outer))
}
