//! For which names a `Set-Cookie` header may set a cookie, by the names alone.

use http::HeaderValue;

/// What a host of a URL may be, by its form. The answer of DNS plays no part, so that it cannot change where a cookie goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameClass {
    /// A Service or a pod: one label, `service.namespace.svc…`, `pod.service.namespace.svc…`, or a pod's address record,
    /// `10-0-0-1.namespace.pod…` (Kubernetes DNS specification, 2.3 and 2.4).
    Service,
    /// Two labels: `service.namespace`, or a host such as `example.com`.
    Either,
    /// A host, an address, or `pod.service.namespace`, whose Service is the only one that it can set cookies for.
    Host,
}

impl NameClass {
    /// `host` is written as in a URL, without a final dot.
    pub(super) fn of(host: &str) -> Self {
        if host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok() {
            return Self::Host;
        }
        let labels: Vec<&str> = host.split('.').collect();
        let is = |at: usize, label: &str| labels.get(at).is_some_and(|text| text.eq_ignore_ascii_case(label));
        match labels.len() {
            _ if is(2, "svc") || is(3, "svc") || (is(2, "pod") && labels.len() > 3) => Self::Service,
            1 => Self::Service,
            2 => Self::Either,
            _ => Self::Host,
        }
    }
}

/// What becomes of a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Store,
    /// For the host alone, without its subdomains.
    HostOnly,
    Refuse,
}

/// Judges a `Set-Cookie` header from `host`. As RFC 6265 has it for a public suffix: a cookie for the host's own name is
/// one for this host alone, and a cookie for a name above is refused.
pub(super) fn judge(host: &str, class: NameClass, header: &HeaderValue) -> Verdict {
    let Some(domain) = domain(header) else { return Verdict::Store };
    let is_own = domain.eq_ignore_ascii_case(host);
    match class {
        NameClass::Service | NameClass::Either if is_own => Verdict::HostOnly,
        NameClass::Service | NameClass::Either => Verdict::Refuse,
        // One label is a top-level domain, or a namespace.
        NameClass::Host if !domain.contains('.') && !is_own => Verdict::Refuse,
        NameClass::Host => Verdict::Store,
    }
}

/// The `Domain` of the cookie, without a leading or final dot. The last `Domain` attribute counts, and an empty one is
/// ignored (RFC 6265, 5.2.3 and 5.3).
pub(super) fn domain(header: &HeaderValue) -> Option<&str> {
    // A header that is not text sets no cookie.
    let text = std::str::from_utf8(header.as_bytes()).ok()?;
    let domain = text.split(';').skip(1).filter_map(domain_value).last()?;
    let domain = domain.strip_prefix('.').unwrap_or(domain);
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    (!domain.is_empty()).then_some(domain)
}

/// The value of an attribute `Domain=value`.
fn domain_value(attribute: &str) -> Option<&str> {
    let (name, value) = attribute.split_once('=')?;
    name.trim().eq_ignore_ascii_case("domain").then(|| value.trim())
}

/// The header without its domains.
pub(super) fn without_domain(header: &HeaderValue) -> Option<HeaderValue> {
    let text = std::str::from_utf8(header.as_bytes()).ok()?;
    let mut parts = text.split(';');
    let pair = parts.next()?;
    let kept: Vec<&str> = std::iter::once(pair).chain(parts.filter(|part| domain_value(part).is_none())).collect();
    HeaderValue::from_bytes(kept.join(";").as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> HeaderValue {
        HeaderValue::from_bytes(text.as_bytes()).unwrap()
    }

    #[test]
    fn names_are_classified_by_their_form() {
        for (host, class) in [
            ("orders", NameClass::Service),
            ("orders.shop.svc", NameClass::Service),
            ("orders.shop.SVC.cluster.local", NameClass::Service),
            ("web-0.orders.shop.svc.corp.example", NameClass::Service),
            ("10-0-0-1.shop.pod.cluster.local", NameClass::Service),
            ("orders.shop", NameClass::Either),
            ("example.com", NameClass::Either),
            ("web-0.orders.shop", NameClass::Host),
            ("api.example.com", NameClass::Host),
            ("10.0.0.1", NameClass::Host),
            ("[::1]", NameClass::Host),
        ] {
            assert_eq!(NameClass::of(host), class, "{host}");
        }
    }

    #[test]
    fn the_last_domain_counts() {
        for (text, expected) in [
            ("a=1", None),
            ("a=1; Path=/", None),
            ("domain=x", None),
            ("a=1; Domain=", None),
            ("a=1; Domain", None),
            ("a=1;DOMAIN = .Shop ;Secure", Some("Shop")),
            ("a=1; Domain=one; domain=two.", Some("two")),
            ("a=1; Domain=one; domain=", None),
        ] {
            assert_eq!(domain(&header(text)), expected, "{text}");
        }
        assert_eq!(without_domain(&header("a=1; Domain=x; Path=/; DOMAIN=y")).unwrap(), "a=1; Path=/");
    }

    #[test]
    fn services_set_cookies_for_themselves_only() {
        for (host, domain, expected) in [
            ("a.shop.svc.cluster.local", "svc.cluster.local", Verdict::Refuse),
            ("a.shop.svc.cluster.local", "A.shop.svc.cluster.local", Verdict::HostOnly),
            ("web-0.a.shop.svc", "a.shop.svc", Verdict::Refuse),
            ("a.shop", "shop", Verdict::Refuse),
            ("a.shop", "a.shop", Verdict::HostOnly),
            ("orders", "orders", Verdict::HostOnly),
            ("web-0.a.shop", "shop", Verdict::Refuse),
            ("web-0.a.shop", "a.shop", Verdict::Store),
            ("api.example.com", "example.com", Verdict::Store),
            ("api.example.com", "com", Verdict::Refuse),
        ] {
            let verdict = judge(host, NameClass::of(host), &header(&format!("a=1; Domain={domain}")));
            assert_eq!(verdict, expected, "{host} sets {domain}");
        }
    }
}
