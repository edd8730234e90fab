//! The resolver as the DNS resolver of a plain `reqwest::Client`.

use std::{error::Error as StdError, net::SocketAddr, sync::Arc, time::Duration};

use discovery_core::{Resolver, Upstream, policy::Tried};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::{
    cache::{Cache, Limits},
    client::now,
};

/// Resolves the hosts of a plain `reqwest::Client` through a [`Resolver`].
///
/// The addresses are in the order in which the policy picks endpoints, which differs from lookup to lookup, because a
/// connector tries them in order. A port that the resolver knows is used if the URL names none.
///
/// This balances only new connections, and HTTP/2 uses a single one. Use [`Client`](crate::Client) to balance requests.
///
/// Names that were used recently are refreshed in the background, so that no connection waits for them again: the last
/// 1024 names at most, each until no connection was opened to it for 5 min.
///
/// ```
/// # use discovery_core::{Resolver, Environment};
/// use discovery_reqwest::DiscoveryResolver;
///
/// # let resolver = Resolver::builder().environment(Environment::empty()).build()?;
/// let client = reqwest::Client::builder().dns_resolver(DiscoveryResolver::new(resolver)).build()?;
/// # drop(client);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct DiscoveryResolver {
    resolver: Resolver,
    limits: Limits,
    /// Holding an upstream keeps its name refreshed in the background.
    upstreams: Arc<Cache<Upstream>>,
}

impl DiscoveryResolver {
    /// Creates the hook on `resolver`.
    #[must_use]
    pub fn new(resolver: Resolver) -> Self {
        Self::limited(resolver, Limits::default())
    }

    fn limited(resolver: Resolver, limits: Limits) -> Self {
        Self { resolver, limits, upstreams: Arc::new(Cache::new(limits, now())) }
    }

    /// Keeps a name for this long, or at most a quarter longer, after the last connection to it was opened; 5 min by default.
    #[must_use]
    pub fn with_unused_timeout(self, unused: Duration) -> Self {
        let limits = Limits { unused, ..self.limits };
        Self::limited(self.resolver, limits)
    }

    /// Keeps at most this many names, and at least one; 1024 by default. The least recently used name makes room for a new
    /// one.
    #[must_use]
    pub fn with_max_names(self, capacity: usize) -> Self {
        let limits = Limits { capacity, ..self.limits };
        Self::limited(self.resolver, limits)
    }

    async fn addresses(self, host: String) -> Result<Addrs, Box<dyn StdError + Send + Sync>> {
        let upstream = self.upstreams.get_or_try_insert(&host, now, || self.resolver.upstream(host.as_str()))?;
        upstream.first_answer().await?;
        Ok(Box::new(in_picking_order(&upstream).into_iter()))
    }
}

impl Resolve for DiscoveryResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(self.clone().addresses(name.as_str().to_owned()))
    }
}

/// Resolves the hosts that redirects lead to. It keeps none of them, because the server that redirects chooses the names: a
/// name is resolved for the connection, and not refreshed afterwards.
#[derive(Clone, Debug)]
pub(crate) struct RedirectResolver(Resolver);

impl RedirectResolver {
    pub(crate) fn new(resolver: Resolver) -> Self {
        Self(resolver)
    }
}

impl Resolve for RedirectResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.0.clone();
        Box::pin(async move {
            let upstream = resolver.resolve(name.as_str()).await?;
            Ok(Box::new(in_picking_order(&upstream).into_iter()) as Addrs)
        })
    }
}

/// A connector tries addresses one after the other and divides its time among them, so more addresses do not help.
const MAX_ENDPOINTS: usize = 8;

fn in_picking_order(upstream: &Upstream) -> Vec<SocketAddr> {
    let mut tried = Tried::default();
    let mut addrs = Vec::new();
    while addrs.len() < MAX_ENDPOINTS
        && let Ok(pick) = upstream.pick_untried(&tried)
    {
        tried.add(pick.endpoint().identity());
        addrs.extend(pick.endpoint().addrs());
    }
    addrs
}
