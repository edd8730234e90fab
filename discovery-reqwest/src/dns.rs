//! The resolver as reqwest's own DNS hook.

use std::{error::Error as StdError, net::SocketAddr, sync::Arc};

use discovery_core::{Resolver, Upstream, policy::Tried};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::{client::now, kept::Kept};

/// Resolves the hosts of a plain `reqwest::Client` through a [`Resolver`].
///
/// The addresses come in the order in which the policy picks the endpoints, another one each time, because
/// a connector tries them in order. A port that the resolver knows is honoured where the URL writes none.
///
/// This balances new connections only, and over HTTP/2 there is one: use [`Client`](crate::Client) to balance
/// requests.
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
    /// Held, so that a name is refreshed in the background and no connection waits for it again.
    held: Arc<Kept<Upstream>>,
}

impl DiscoveryResolver {
    /// Resolves through `resolver`.
    #[must_use]
    pub fn new(resolver: Resolver) -> Self {
        Self { resolver, held: Arc::new(Kept::new(now())) }
    }

    async fn addresses(self, host: String) -> Result<Addrs, Box<dyn StdError + Send + Sync>> {
        let upstream = self.held.get_or_try_insert(&host, now, || self.resolver.upstream(host.as_str()))?;
        upstream.first_answer().await?;
        Ok(Box::new(in_picking_order(&upstream).into_iter()))
    }
}

impl Resolve for DiscoveryResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(self.clone().addresses(name.as_str().to_owned()))
    }
}

/// A connector tries addresses one after the other and divides its time among them: more would be of no use.
const MOST: usize = 8;

fn in_picking_order(upstream: &Upstream) -> Vec<SocketAddr> {
    let mut tried = Tried::default();
    let mut addrs = Vec::new();
    while addrs.len() < MOST
        && let Ok(pick) = upstream.pick_untried(&tried)
    {
        tried.add(pick.endpoint().identity());
        addrs.extend(pick.endpoint().addrs());
    }
    addrs
}
