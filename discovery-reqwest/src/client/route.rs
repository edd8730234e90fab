//! Whether the requests of a target go to its endpoints or through a proxy.

use std::time::Duration;

use discovery_core::{
    Resolver,
    name::{Host, Port, ServiceName, Target},
    plan::NameKind,
};

use super::{builder::Settings, endpoints::Pool, proxied::Proxied};
use crate::{Error, error::Note};

/// Where the requests of a target go, as far as it is known before the first query.
pub(super) enum Route {
    Endpoints(Pool),
    Proxy(Proxied),
    /// The name has a proxy unless it is a Service, which only the sources know.
    Undecided(Undecided),
}

/// A name that may be a Service, and for which the environment names a proxy.
pub(super) struct Undecided {
    pool: Pool,
    proxied: Proxied,
    /// Outside a cluster, what no source knows is a host.
    in_cluster: bool,
}

/// Where one request goes.
pub(super) enum Destination<'a> {
    Endpoints(&'a Pool),
    Proxy(&'a Proxied),
}

impl Route {
    /// The route of a target. `proxied`: a plain client would use a proxy for it.
    pub(super) fn new(resolver: &Resolver, target: &Target, settings: &Settings, proxied: bool) -> Result<Self, Error> {
        if !proxied {
            return Pool::new(resolver, target, settings, true).map(Self::Endpoints);
        }
        if !may_be_service(target) {
            return Ok(Self::Proxy(Proxied::new(settings)));
        }
        let pool = Pool::new(resolver, target, settings, false)?;
        let in_cluster = resolver.in_cluster();
        if is_service(target, in_cluster) {
            return Ok(Self::Endpoints(pool));
        }
        Ok(Self::Undecided(Undecided { pool, proxied: Proxied::new(settings), in_cluster }))
    }

    /// Chooses for one request. Waits up to `endpoint_timeout` for the sources if they decide.
    ///
    /// # Errors
    /// If the name has a proxy and no source knows whether it is a Service or a host.
    pub(super) async fn choose(&self, endpoint_timeout: Duration) -> Result<Destination<'_>, Error> {
        match self {
            Self::Endpoints(pool) => Ok(Destination::Endpoints(pool)),
            Self::Proxy(proxied) => Ok(Destination::Proxy(proxied)),
            Self::Undecided(undecided) => undecided.choose(endpoint_timeout).await,
        }
    }
}

impl Undecided {
    async fn choose(&self, endpoint_timeout: Duration) -> Result<Destination<'_>, Error> {
        let upstream = self.pool.upstream();
        let decided = async {
            // The explanation holds the answers, and the errors as well.
            let _ = upstream.first_answer().await;
            if self.is_host().is_none() {
                let _ = upstream.ready().await;
            }
        };
        let _ = tokio::time::timeout(endpoint_timeout, decided).await;
        match (self.is_host(), upstream.pick()) {
            (Some(true), _) => Ok(Destination::Proxy(&self.proxied)),
            (Some(false), _) | (None, Ok(_)) => Ok(Destination::Endpoints(&self.pool)),
            // The proxy must not receive a request to a Service, with its credentials, because DNS is down.
            (None, Err(error)) => Err(Error::from(error).with_note(Note::Undecided)),
        }
    }

    /// Whether the name is a host and not a Service; `None` if no source knows.
    fn is_host(&self) -> Option<bool> {
        let upstream = self.pool.upstream();
        match upstream.explain().name_kind {
            Some(name_kind) => Some(name_kind == NameKind::Host),
            // A source of the application's own may say only where the endpoints are.
            None if !upstream.endpoints().is_empty() => Some(false),
            None => (!self.in_cluster).then_some(true),
        }
    }
}

/// Returns whether the target can be a Service: not an address, not a name of four labels or more without `svc`, and not a
/// name with a label that only a host can have, such as `my_db`. With a final dot, a name of up to three labels is a host.
fn may_be_service(target: &Target) -> bool {
    let Host::Name { name, absolute, .. } = target.host() else { return false };
    let is_strict = name.labels().all(|label| ServiceName::new(label).is_ok());
    is_strict && (name.label_count() <= 3 && !absolute || is_service(target, true))
        || matches!(target.port(), Port::Name(_))
}

/// Returns whether the target is a Service for sure: one label in a cluster, `service.namespace.svc…`,
/// `pod.service.namespace.svc…`, or a port by name.
fn is_service(target: &Target, in_cluster: bool) -> bool {
    let Host::Name { name, .. } = target.host() else { return false };
    let svc = |at: usize| name.labels().nth(at) == Some("svc");
    (in_cluster && name.label_count() == 1) || svc(2) || svc(3) || matches!(target.port(), Port::Name(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_services_from_hosts_by_their_names() {
        let both = |url: &str| {
            let target = Target::from_url(&url.parse().unwrap()).unwrap();
            (may_be_service(&target), is_service(&target, true))
        };
        for service in [
            "http://orders",
            "http://orders.shop.svc:80",
            "http://web-0.nginx.shop.svc",
            "http://orders.shop.svc.cluster.local",
            "http://_http._tcp.orders.shop",
        ] {
            assert_eq!(both(service), (true, true), "{service}");
        }
        for either in ["http://orders.shop", "https://example.com", "https://api.example.com"] {
            assert_eq!(both(either), (true, false), "{either}");
        }
        let bare = Target::from_url(&"http://db".parse().unwrap()).unwrap();
        assert!(may_be_service(&bare) && !is_service(&bare, false), "outside a cluster, the sources decide");
        for host in ["http://my_db.example.com", "http://foo-.example.com"] {
            assert_eq!(both(host), (false, false), "{host}");
        }
        for host in ["http://10.0.0.1", "http://[::1]:80", "http://localhost", "http://a.b.example.com"] {
            assert_eq!(both(host), (false, false), "{host}");
        }
    }
}
