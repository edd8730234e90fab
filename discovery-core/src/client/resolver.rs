//! From targets to upstreams.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use super::{
    builder::ResolverBuilder,
    context_cell::ContextCell,
    shared::Shared,
    upstream::{Handle, Upstream},
};
use crate::{
    Error, clock,
    name::{NameError, Target},
    policy::Policy,
    refresh::RefreshSettings,
};

/// Finds the endpoints of any target that an application has, and keeps them up to date.
///
/// Cheap to clone; one per process is the rule, because upstreams of equal targets share their work.
///
/// ```
/// # use discovery_testing::FakeCluster;
/// use discovery_core::Resolver;
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// # let cluster = FakeCluster::start().await?;
/// # let service = cluster.service("shop", "orders").replicas(3).start().await?;
/// # let environment = discovery_core::Environment::empty()
/// #     .with_env(cluster.env("shop"))
/// #     .with_resolv_conf(cluster.resolv_conf("shop"));
/// # let resolver = Resolver::builder().environment(environment).build()?;
/// # let url = format!("http://orders.shop:{}", service.port());
/// // let resolver = Resolver::new()?;     // where this process runs: a pod, a laptop
/// // let url = "http://orders.shop:8080";
/// let orders = resolver.resolve(url.as_str()).await?;
/// assert_eq!(orders.endpoints().len(), 3);
///
/// let pick = orders.pick()?;               // one endpoint for one request
/// let stream = tokio::net::TcpStream::connect(pick.endpoint().addr()).await?;
/// # drop(stream);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Resolver(Arc<Inner>);

struct Inner {
    context: Arc<ContextCell>,
    refresh: RefreshSettings,
    policy: Arc<dyn Policy>,
    held: Arc<Held>,
}

/// The upstreams that somebody holds.
#[derive(Default)]
pub(super) struct Held(Mutex<HashMap<Target, Weak<Handle>>>);

impl Resolver {
    /// A resolver for where this process runs, with every default.
    ///
    /// # Errors
    /// When a `DISCOVERY_*` variable or another part of the configuration is malformed; the text names it.
    pub fn new() -> Result<Self, Error> {
        Self::builder().build()
    }

    /// A resolver to be configured.
    pub fn builder() -> ResolverBuilder {
        ResolverBuilder::new()
    }

    pub(super) fn assemble(context: ContextCell, refresh: RefreshSettings, policy: Arc<dyn Policy>) -> Self {
        Self(Arc::new(Inner { context: Arc::new(context), refresh, policy, held: Arc::default() }))
    }

    /// The upstream of a target: a text, a `Url`, or a [`Target`]. Begins to ask in the background and
    /// returns at once; endpoints come later: await [`Upstream::first_answer`].
    ///
    /// # Errors
    /// When the target is no valid name ([`Error::is_invalid_name`]), or when it is called outside of a tokio
    /// runtime, where nothing could be asked ([`Error::is_config`]).
    pub fn upstream<T>(&self, target: T) -> Result<Upstream, Error>
    where
        T: TryInto<Target>,
        NameError: From<T::Error>,
    {
        let target = target.try_into().map_err(NameError::from)?;
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(Error::config("no tokio runtime here: call this inside of one"));
        }
        let upstream = self.0.held.get_or_insert(&target, || {
            let shared = Shared::new(target.clone(), self.0.policy.clone(), self.0.refresh.clone(), clock::now());
            Upstream::new(shared, self.0.context.clone(), Arc::downgrade(&self.0.held))
        });
        upstream.0.revive();
        Ok(upstream)
    }

    /// As [`upstream`](Self::upstream), and waits for the first answer.
    ///
    /// # Errors
    /// As [`upstream`](Self::upstream) and [`Upstream::first_answer`].
    ///
    /// # Cancel safety
    /// Cancel-safe: when others wait for the same target, the lookup goes on for them.
    pub async fn resolve<T>(&self, target: T) -> Result<Upstream, Error>
    where
        T: TryInto<Target>,
        NameError: From<T::Error>,
    {
        let upstream = self.upstream(target)?;
        upstream.first_answer().await?;
        Ok(upstream)
    }

    /// How many targets are being kept up to date.
    #[must_use]
    pub fn active(&self) -> usize {
        self.0.held.len()
    }
}

impl Held {
    fn get_or_insert(&self, target: &Target, make: impl FnOnce() -> Upstream) -> Upstream {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = held.get(target).and_then(Weak::upgrade) {
            return Upstream(handle);
        }
        let upstream = make();
        held.insert(target.clone(), Arc::downgrade(&upstream.0));
        upstream
    }

    /// Forgets a target whose last handle is gone; another one may have taken its place meanwhile.
    pub(super) fn forget(&self, target: &Target) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.get(target).is_some_and(|handle| handle.strong_count() == 0) {
            held.remove(target);
        }
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("active", &self.active()).finish_non_exhaustive()
    }
}
