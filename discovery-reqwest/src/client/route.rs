//! Where the requests of a target go: to its endpoints, or through a proxy.

use std::time::Duration;

use discovery_core::{
    Resolver,
    name::{Host, Port, Target},
    plan::NameKind,
};

use super::{
    builder::Settings,
    endpoints::{Pool, pool},
    proxied::Proxied,
};
use crate::Error;

/// What is known of a target's way before anything is asked.
pub(super) enum Route {
    Endpoints(Pool),
    Proxy(Proxied),
    /// A proxy stands before the name, which may be a Service's: the sources know.
    Either(Pool, Proxied),
}

/// The way of one request.
pub(super) enum Way<'a> {
    Endpoints(&'a Pool),
    Proxy(&'a Proxied),
}

impl Route {
    /// The route of a target; `proxied` where a plain client would go through a proxy.
    pub(super) fn new(resolver: &Resolver, target: &Target, settings: &Settings, proxied: bool) -> Result<Self, Error> {
        if !proxied {
            return pool(resolver, target, settings, true).map(Self::Endpoints);
        }
        if !may_be_service(target) {
            return Ok(Self::Proxy(Proxied::new(settings)));
        }
        let pool = pool(resolver, target, settings, false)?;
        Ok(if is_service(target) { Self::Endpoints(pool) } else { Self::Either(pool, Proxied::new(settings)) })
    }

    /// Waits for the first answer of the sources where it matters, no longer than `endpoint_timeout`.
    pub(super) async fn choose(&self, endpoint_timeout: Duration) -> Way<'_> {
        match self {
            Self::Endpoints(pool) => Way::Endpoints(pool),
            Self::Proxy(proxied) => Way::Proxy(proxied),
            Self::Either(pool, proxied) => {
                let upstream = pool.clients.upstream();
                // Whatever it is, the explanation tells.
                let _ = tokio::time::timeout(endpoint_timeout, upstream.first_answer()).await;
                let is_host = match upstream.explain().name_kind {
                    Some(reading) => reading == NameKind::Host,
                    None => upstream.endpoints().is_empty(),
                };
                if is_host { Way::Proxy(proxied) } else { Way::Endpoints(pool) }
            }
        }
    }
}

/// An address is nobody's name, and four labels without `svc` are too many.
fn may_be_service(target: &Target) -> bool {
    matches!(target.host(), Host::Name { name, .. } if name.label_count() <= 3) || is_service(target)
}

/// One label, `service.namespace.svc…`, `pod.service.namespace.svc…`, or a port that is asked for by its name.
fn is_service(target: &Target) -> bool {
    let Host::Name { name, .. } = target.host() else { return false };
    let svc = |at: usize| name.labels().nth(at) == Some("svc");
    name.label_count() == 1 || svc(2) || svc(3) || matches!(target.port(), Port::Name(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_name_may_be() {
        let both = |url: &str| {
            let target = Target::from_url(&url.parse().unwrap()).unwrap();
            (may_be_service(&target), is_service(&target))
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
        for host in ["http://10.0.0.1", "http://[::1]:80", "http://localhost", "http://a.b.example.com"] {
            assert_eq!(both(host), (false, false), "{host}");
        }
    }
}
