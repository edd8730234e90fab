//! A source that a test sets by hand.

use std::{fmt, sync::Arc};

use discovery_core::{
    Error,
    endpoint::Endpoint,
    name::{NameError, Port, Target},
    plan::{Plan, Scope, ServiceRef},
    source::{BoxFuture, Evidence, Lookup, Source, State, Update},
};
use tokio::sync::watch;

/// A [`Source`] whose answer a test sets by hand, for tests of balancing or error handling without DNS. Each change is
/// pushed to the resolver, so that a test only has to wait for its effect.
///
/// The source answers for every target that is a name, or with [`for_name`](Self::for_name) for one name. Before the
/// first call of its [`ManualHandle`] it does not apply.
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
pub struct ManualSource {
    state: Arc<watch::Sender<State>>,
    /// The only name to answer for.
    name: Option<OnlyName>,
}

/// Sets the answer of its [`ManualSource`]. Clones set the same source.
#[derive(Clone)]
pub struct ManualHandle(Arc<watch::Sender<State>>);

impl ManualSource {
    /// Creates a source and its handle.
    #[must_use]
    pub fn new() -> (Self, ManualHandle) {
        Self::answering(None)
    }

    /// Creates a source that answers for one name, and its handle. For every other target it does not apply, so that a
    /// test can set several Services.
    ///
    /// A name with a namespace matches every form of a Service's name: `orders.shop` matches `orders` in the namespace
    /// `shop`, `orders.shop.svc`, and `orders.shop.svc.cluster.local` where the resolver knows the cluster domain. Other
    /// names match as they are written. A name without a port matches every port; with one, such as `orders:8080`, it
    /// matches this port only.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use discovery_core::{Environment, Resolver};
    /// use discovery_testing::ManualSource;
    ///
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// let (orders, set_orders) = ManualSource::for_name("orders.shop");
    /// let (rates, set_rates) = ManualSource::for_name("rates.shop");
    /// set_orders.set(["127.0.0.2:8080", "127.0.0.3:8080"]);
    /// set_rates.set(["127.0.0.4:9090"]);
    ///
    /// let environment = Environment::empty().with_env([("POD_NAMESPACE", "shop")]);
    /// let builder = Resolver::builder().environment(environment);
    /// let resolver = builder.source(Arc::new(orders)).source(Arc::new(rates)).build()?;
    /// assert_eq!(resolver.resolve("orders").await?.endpoints().len(), 2);
    /// assert_eq!(resolver.resolve("http://rates.shop").await?.endpoints().len(), 1);
    /// # Ok::<(), discovery_core::Error>(())
    /// # }).unwrap();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If `name` is not a name that a resolver accepts; the message contains the name and the rule.
    #[must_use]
    #[track_caller]
    pub fn for_name(name: &str) -> (Self, ManualHandle) {
        match OnlyName::parse(name) {
            Ok(name) => Self::answering(Some(name)),
            Err(error) => panic!("{error}"),
        }
    }

    fn answering(name: Option<OnlyName>) -> (Self, ManualHandle) {
        let state = Arc::new(watch::Sender::new(State::NotApplicable));
        (Self { state: state.clone(), name }, ManualHandle(state))
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
        let target = plan.target.to_string();
        match &self.name {
            Some(name) if !name.matches(plan) => Box::new(OtherName { target, name: name.target.to_string() }),
            _ => Box::new(ManualLookup { state: self.state.subscribe(), target }),
        }
    }
}

/// A name that a source answers for.
#[derive(Clone, Debug)]
struct OnlyName {
    target: Target,
    /// The Service, if the name has a namespace.
    service: Option<ServiceRef>,
}

impl OnlyName {
    fn parse(name: &str) -> Result<Self, NameError> {
        let target = Target::new(name)?;
        let service = Plan::new(&target, &Scope::default()).services.into_iter().next();
        Ok(Self { target, service })
    }

    fn matches(&self, plan: &Plan) -> bool {
        let is_same_port = matches!(self.target.port(), Port::Default(_)) || self.target.port() == plan.target.port();
        let is_same_name = self.target.host() == plan.target.host()
            || self.service.is_some() && self.service.as_ref() == plan.services.first();
        is_same_port && is_same_name
    }
}

/// The lookup of a target that a source does not answer for.
#[derive(Debug)]
struct OtherName {
    target: String,
    name: String,
}

impl Lookup for OtherName {
    fn ask<'a>(&'a mut self, _early: &'a mut (dyn FnMut(Update) + Send)) -> BoxFuture<'a, Update> {
        let evidence = Evidence::new(self.target.clone(), format!("the test sets `{}` only", self.name));
        Box::pin(std::future::ready(Update::new(State::NotApplicable).with_evidence([evidence])))
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
        f.debug_struct("ManualSource").field("state", &*self.state.borrow()).field("name", &self.name).finish()
    }
}

impl fmt::Debug for ManualHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ManualHandle").field(&*self.0.borrow()).finish()
    }
}
