//! Endpoint sets as tower's stream of changes.

use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use discovery_core::{
    Upstream, Watch,
    endpoint::{Endpoint, EndpointSet, Identity},
};
use futures_core::Stream;
use tower::discover::Change;

/// The endpoints of an upstream as a [`tower::discover::Discover`] stream of inserts and removes, keyed by identity.
///
/// `make` makes the service of each insert. An endpoint whose attributes changed is inserted again under its key, which
/// replaces the former service. The stream never yields an error and never ends, and it keeps the upstream alive.
///
/// ```
/// # use discovery_core::{Resolver, Environment};
/// use discovery_tower::Discover;
/// use tower::{balance::p2c::Balance, load::Constant, service_fn};
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// # let resolver = Resolver::builder().environment(Environment::empty()).build()?;
/// let upstream = resolver.upstream("127.0.0.1:8080")?;
/// let discover = Discover::new(upstream, |endpoint| {
///     let addr = endpoint.addr();
///     Constant::new(service_fn(move |()| async move { Ok::<_, std::io::Error>(addr) }), 1)
/// });
/// let mut balance = Balance::new(Box::pin(discover));
///
/// # use tower::{Service, ServiceExt};
/// let addr = balance.ready().await?.call(()).await?;
/// assert_eq!(addr.to_string(), "127.0.0.1:8080");
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// # }).unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Discover<F> {
    watch: Watch,
    make: F,
    current: Arc<EndpointSet>,
    changes: VecDeque<PendingChange>,
}

enum PendingChange {
    Insert(Endpoint),
    Remove(Identity),
}

impl<F, S> Discover<F>
where
    F: FnMut(&Endpoint) -> S,
{
    /// Streams the changes of `upstream`; `make` makes the service of each endpoint.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "the stream keeps the upstream, as `Balance` does")]
    pub fn new(upstream: Upstream, make: F) -> Self {
        let watch = upstream.watch();
        Self { watch, make, current: Arc::default(), changes: VecDeque::new() }
    }

    /// Queues the removes first, so that a consumer never holds a removed endpoint beside its replacement.
    fn enqueue(&mut self, next: Arc<EndpointSet>) {
        let diff = next.since(&self.current);
        let removed = diff.removed.iter().map(|endpoint| PendingChange::Remove(endpoint.identity().clone()));
        let is_other = |endpoint: &&&Endpoint| {
            let before = self.current.get_by_identity(endpoint.identity());
            // An endpoint that is retained from now on, or not any more, keeps its service and its connections.
            before.is_none_or(|before| before.clone().with_retained(endpoint.is_retained()) != ***endpoint)
        };
        let inserted = diff
            .changed
            .iter()
            .filter(is_other)
            .chain(&diff.added)
            .map(|endpoint| PendingChange::Insert((*endpoint).clone()));
        self.changes.extend(removed.chain(inserted));
        self.current = next;
    }
}

impl<F, S> Stream for Discover<F>
where
    F: FnMut(&Endpoint) -> S + Unpin,
{
    type Item = Result<Change<Identity, S>, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            match this.changes.pop_front() {
                Some(PendingChange::Remove(identity)) => return Poll::Ready(Some(Ok(Change::Remove(identity)))),
                Some(PendingChange::Insert(endpoint)) => {
                    let service = (this.make)(&endpoint);
                    return Poll::Ready(Some(Ok(Change::Insert(endpoint.identity().clone(), service))));
                }
                None => {}
            }
            match ready!(Pin::new(&mut this.watch).poll_next(cx)) {
                Some(next) => this.enqueue(next),
                // A watch does not end while it is held, and a consumer takes an end of this stream for the end of everything.
                None => return Poll::Pending,
            }
        }
    }
}

impl<F> fmt::Debug for Discover<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discover")
            .field("watch", &self.watch)
            .field("pending", &self.changes.len())
            .finish_non_exhaustive()
    }
}
