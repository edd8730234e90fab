//! A source that a test sets by hand.

use std::{fmt, sync::Arc};

use discovery_core::{
    Error,
    endpoint::Endpoint,
    plan::Plan,
    source::{BoxFuture, Evidence, Lookup, Source, State, Update},
};
use tokio::sync::watch;

/// A [`Source`] whose answer a test sets by hand, for tests of balancing or error handling without DNS. Each change is
/// pushed to the resolver, so that a test only has to wait for its effect.
///
/// The source answers for every target that is a name. Before the first call of its [`ManualHandle`] it does not apply.
///
/// ```
/// use std::sync::Arc;
///
/// use discovery_core::{Resolver, Environment, endpoint::Endpoint};
/// use discovery_testing::ManualSource;
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let (source, handle) = ManualSource::new();
/// handle.set(["127.0.0.2:8080", "127.0.0.3:8080"]);
///
/// let resolver = Resolver::builder().environment(Environment::empty()).source(Arc::new(source)).build()?;
/// let orders = resolver.resolve("orders").await?;
/// assert_eq!(orders.endpoints().len(), 2);
///
/// let mut watch = orders.watch();
/// assert_eq!(watch.next().await.len(), 2);
/// handle.set(["127.0.0.2:8080", "127.0.0.3:8080", "127.0.0.4:8080"]);
/// assert_eq!(watch.next().await.len(), 3);
/// # Ok::<(), discovery_core::Error>(())
/// # }).unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct ManualSource(Arc<watch::Sender<State>>);

/// Sets the answer of its [`ManualSource`]. Clones set the same source.
#[derive(Clone)]
pub struct ManualHandle(Arc<watch::Sender<State>>);

impl ManualSource {
    /// Creates a source and its handle.
    #[must_use]
    pub fn new() -> (Self, ManualHandle) {
        let state = Arc::new(watch::Sender::new(State::NotApplicable));
        (Self(state.clone()), ManualHandle(state))
    }
}

impl ManualHandle {
    /// Sets exactly these endpoints, written as `ip:port`. Without any it is the same as [`empty`](Self::empty).
    ///
    /// # Panics
    /// If a text is not `ip:port` or `[ip]:port`; the message contains the text.
    pub fn set<'a>(&self, addrs: impl IntoIterator<Item = &'a str>) {
        let endpoint = |text: &str| match text.parse() {
            Ok(addr) => Endpoint::new(addr),
            Err(_) => panic!("`{text}` is not `ip:port`"),
        };
        self.set_endpoints(addrs.into_iter().map(endpoint));
    }

    /// Sets exactly these endpoints.
    pub fn set_endpoints(&self, endpoints: impl IntoIterator<Item = Endpoint>) {
        let endpoints: Vec<Endpoint> = endpoints.into_iter().collect();
        self.0.send_replace(if endpoints.is_empty() { State::Empty } else { State::Ready(endpoints) });
    }

    /// Makes the name exist without endpoints.
    pub fn empty(&self) {
        self.0.send_replace(State::Empty);
    }

    /// Makes the name not exist.
    pub fn not_found(&self) {
        self.0.send_replace(State::NotFound);
    }

    /// Makes the source fail: the resolver keeps its endpoints and marks them as stale.
    pub fn fail(&self, why: &str) {
        self.0.send_replace(State::Failed(Error::transient(why)));
    }
}

impl Source for ManualSource {
    fn name(&self) -> &'static str {
        "manual"
    }

    fn open(&self, plan: &Plan) -> Box<dyn Lookup> {
        Box::new(ManualLookup { state: self.0.subscribe(), target: plan.target.to_string() })
    }
}

#[derive(Debug)]
struct ManualLookup {
    state: watch::Receiver<State>,
    target: String,
}

impl Lookup for ManualLookup {
    fn ask<'a>(&'a mut self, _early: &'a mut (dyn FnMut(Update) + Send)) -> BoxFuture<'a, Update> {
        let state = self.state.borrow_and_update().clone();
        let evidence = Evidence::new(self.target.clone(), "set by the test");
        Box::pin(std::future::ready(Update::new(state).with_evidence([evidence])))
    }

    fn changed(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if self.state.changed().await.is_err() {
                // The source and all handles are gone, so nothing can change.
                std::future::pending::<()>().await;
            }
        })
    }
}

impl fmt::Debug for ManualSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ManualSource").field(&*self.0.borrow()).finish()
    }
}

impl fmt::Debug for ManualHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ManualHandle").field(&*self.0.borrow()).finish()
    }
}
