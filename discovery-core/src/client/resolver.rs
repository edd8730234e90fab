//! From targets to upstreams.

use std::{fmt, sync::Arc};

use super::{
    builder::ResolverBuilder,
    context_cell::ContextCell,
    state::TargetState,
    upstream::{Upstream, UpstreamTable},
};
use crate::{
    Error, clock,
    name::{NameError, Target},
    policy::Policy,
    refresh::RefreshSettings,
};

/// Finds the endpoints of any target, and keeps them up to date.
///
/// Cheap to clone. Use one resolver per process, because upstreams of equal targets share their work.
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
    upstreams: Arc<UpstreamTable>,
}

impl Resolver {
    /// Creates a resolver for the place where this process runs, with every default.
    ///
    /// # Errors
    /// When a `DISCOVERY_*` variable or another part of the configuration is malformed; the text names it.
    pub fn new() -> Result<Self, Error> {
        Self::builder().build()
    }

    /// Returns a builder, to configure a resolver.
    pub fn builder() -> ResolverBuilder {
        ResolverBuilder::new()
    }

    pub(super) fn from_parts(context: ContextCell, refresh: RefreshSettings, policy: Arc<dyn Policy>) -> Self {
        Self(Arc::new(Inner { context: Arc::new(context), refresh, policy, upstreams: Arc::default() }))
    }

    /// Returns the upstream of a target: a text, a `Url`, or a [`Target`].
    ///
    /// Starts to query the sources in the background and returns at once, before there are endpoints: await
    /// [`Upstream::first_answer`].
    ///
    /// # Errors
    /// When the target is not a valid name ([`Error::is_invalid_name`]), or outside of a Tokio runtime, where no
    /// source can be queried ([`Error::is_config`]).
    pub fn upstream<T>(&self, target: T) -> Result<Upstream, Error>
    where
        T: TryInto<Target>,
        NameError: From<T::Error>,
    {
        let target = target.try_into().map_err(NameError::from)?;
        if tokio::runtime::Handle::try_current().is_err() {
            let text = format!("`{target}` cannot be resolved: must be called from within a Tokio runtime");
            return Err(Error::config(text));
        }
        let inner = &self.0;
        let upstream = inner.upstreams.get_or_insert(&target, &inner.context, || {
            TargetState::new(target.clone(), inner.policy.clone(), inner.refresh.clone(), clock::now())
        });
        upstream.attend();
        Ok(upstream)
    }

    /// Returns the upstream of a target, after its first answer.
    ///
    /// # Errors
    /// As [`upstream`](Self::upstream) and [`Upstream::first_answer`].
    ///
    /// # Cancel safety
    /// Cancel-safe: the lookup continues for other callers that wait for the same target.
    pub async fn resolve<T>(&self, target: T) -> Result<Upstream, Error>
    where
        T: TryInto<Target>,
        NameError: From<T::Error>,
    {
        let upstream = self.upstream(target)?;
        upstream.first_answer().await?;
        Ok(upstream)
    }

    /// Whether this process runs in a cluster: its namespace or the cluster domain is known without a query, or
    /// `KUBERNETES_SERVICE_HOST` is set. In a cluster a name of one label is a Service; outside of one it is a host.
    #[must_use]
    pub fn in_cluster(&self) -> bool {
        self.0.context.current(clock::now()).is_ok_and(|context| context.scope().search.is_none())
    }

    /// How many targets this resolver keeps up to date.
    #[must_use]
    pub fn active(&self) -> usize {
        self.0.upstreams.len()
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("active", &self.active()).finish_non_exhaustive()
    }
}
