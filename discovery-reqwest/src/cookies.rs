//! Cookies that stay with their Service: the names of a cluster are public suffixes (RFC 6265, 5.3).

mod scope;

use std::{iter, sync::Arc};

use http::HeaderValue;
use reqwest::{
    Url,
    cookie::{CookieStore, Jar},
};

use self::scope::{NameClass, Verdict};

/// The cookies of Services and those of hosts, apart from each other.
///
/// A host is a domain of other names, and may be above the names of a cluster: `corp.example` above
/// `orders.shop.svc.corp.example`. So the cookies of hosts are never looked up for a name that may be a Service.
#[derive(Debug, Default)]
pub(crate) struct ServiceCookies {
    services: Jar,
    hosts: Jar,
}

impl CookieStore for ServiceCookies {
    fn set_cookies(&self, headers: &mut dyn Iterator<Item = &HeaderValue>, url: &Url) {
        let (host, class) = classified(url);
        for header in headers {
            let Some(admitted) = admit(host, class, header) else { continue };
            let store = |jar: &Jar, header: &HeaderValue| jar.set_cookies(&mut iter::once(header), url);
            if class == NameClass::Host {
                store(&self.hosts, &admitted);
                continue;
            }
            store(&self.services, &admitted);
            // `example.com` may be a host, whose cookies are also for `www.example.com`.
            if class == NameClass::Either && scope::domain(header).is_some() {
                store(&self.hosts, header);
            }
        }
    }

    fn cookies(&self, url: &Url) -> Option<HeaderValue> {
        match classified(url).1 {
            NameClass::Host => self.hosts.cookies(url),
            NameClass::Either | NameClass::Service => self.services.cookies(url),
        }
    }
}

/// A store that receives no cookie of a Service for other names.
pub(crate) struct FilteredCookies<S>(Arc<S>);

impl<S> FilteredCookies<S> {
    pub(crate) fn new(store: Arc<S>) -> Self {
        Self(store)
    }
}

impl<S: CookieStore> CookieStore for FilteredCookies<S> {
    fn set_cookies(&self, headers: &mut dyn Iterator<Item = &HeaderValue>, url: &Url) {
        let (host, class) = classified(url);
        // A store does not look up the cookies of `example.com` for `www.example.com` unless they have a domain.
        let class = if class == NameClass::Either { NameClass::Host } else { class };
        let admitted: Vec<HeaderValue> = headers.filter_map(|header| admit(host, class, header)).collect();
        if !admitted.is_empty() {
            self.0.set_cookies(&mut admitted.iter(), url);
        }
    }

    fn cookies(&self, url: &Url) -> Option<HeaderValue> {
        self.0.cookies(url)
    }
}

fn classified(url: &Url) -> (&str, NameClass) {
    let host = url.host_str().unwrap_or_default();
    let host = host.strip_suffix('.').unwrap_or(host);
    (host, NameClass::of(host))
}

/// The `Set-Cookie` header as it may be stored; `None` if it is refused.
fn admit(host: &str, class: NameClass, header: &HeaderValue) -> Option<HeaderValue> {
    match scope::judge(host, class, header) {
        Verdict::Store => Some(header.clone()),
        Verdict::HostOnly => scope::without_domain(header),
        Verdict::Refuse => {
            tracing::debug!(%host, "refused a cookie for the names of a cluster or a top-level domain");
            None
        }
    }
}
