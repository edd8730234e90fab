//! What a target says to servers: the scheme, and the name of the Service.

use discovery_core::{
    Error,
    name::{Port, Target},
};
use http::{
    Uri,
    uri::{Authority, PathAndQuery, Scheme},
};

/// The scheme and authority of a target's requests, and the port of endpoints without one of their own.
///
/// ```
/// use discovery_tower::Origin;
///
/// let origin = Origin::new(&"http://_http._tcp.orders.shop".parse()?)?;
/// assert_eq!(origin.uri("/v1?a=b".parse()?), "http://orders.shop/v1?a=b");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Origin {
    scheme: Scheme,
    authority: Authority,
    port: u16,
}

impl Origin {
    /// The origin of a target: of `_http._tcp.orders.shop` the name `orders.shop`, and without the final dot of an absolute
    /// name, which neither certificates nor most servers expect.
    ///
    /// # Errors
    /// If the scheme is neither `http` nor `https`.
    pub fn new(target: &Target) -> Result<Self, Error> {
        let (scheme, port) = match target.scheme().map(discovery_core::name::Scheme::as_str) {
            None | Some("http") => (Scheme::HTTP, 80),
            Some("https") => (Scheme::HTTPS, 443),
            Some(scheme) => {
                let text = format!("`{target}` has the scheme `{scheme}`; an HTTP client needs `http` or `https`");
                return Err(Error::config(text));
            }
        };
        let host = target.host().to_string();
        let host = host.strip_suffix('.').unwrap_or(&host);
        let authority = match target.port() {
            Port::Number(number) => format!("{host}:{number}"),
            // The server does not know the name of its port, and the default of the scheme is not written.
            _ => host.to_owned(),
        };
        let port = target.port().number().map_or(port, Into::into);
        Ok(Self { scheme, authority: parse(&authority)?, port })
    }

    /// The same origin under another name.
    ///
    /// # Errors
    /// If `authority` is not `host` or `host:port`.
    pub fn with_authority(self, authority: &str) -> Result<Self, Error> {
        let authority = parse(authority)?;
        Ok(Self { authority, ..self })
    }

    /// Whether the scheme is `https`.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// The port of endpoints for which no source says one.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URI of a request with the path and the query of `uri`.
    #[must_use]
    pub fn uri(&self, uri: Uri) -> Uri {
        let mut parts = uri.into_parts();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
        // Never an error: all of the parts are there.
        Uri::from_parts(parts).unwrap_or_default()
    }
}

fn parse(authority: &str) -> Result<Authority, Error> {
    match authority.parse::<Authority>() {
        Ok(parsed) if !authority.contains('@') => Ok(parsed),
        _ => Err(Error::config(format!("`{authority}` is not an authority; write `host` or `host:port`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_names_the_service() {
        for (target, uri, port) in [
            ("http://orders.shop:8080", "http://orders.shop:8080/v1?a=b", 8080),
            ("orders.shop", "http://orders.shop/v1?a=b", 80),
            ("https://orders.shop", "https://orders.shop/v1?a=b", 443),
            ("https://orders.shop.svc.cluster.local.:8443", "https://orders.shop.svc.cluster.local:8443/v1?a=b", 8443),
            ("http://_http._tcp.orders.shop", "http://orders.shop/v1?a=b", 80),
            ("[::1]:80", "http://[::1]:80/v1?a=b", 80),
        ] {
            let origin = Origin::new(&target.parse().unwrap()).unwrap();
            for request in ["/v1?a=b", "http://elsewhere:1/v1?a=b"] {
                assert_eq!(origin.uri(request.parse().unwrap()).to_string(), uri, "{target}");
            }
            assert_eq!(origin.port(), port, "{target}");
        }
    }

    #[test]
    fn every_form_of_request_target_makes_a_uri() {
        let origin = Origin::new(&"http://orders".parse().unwrap()).unwrap();
        for (request, uri) in [("*", "http://orders*"), ("http://a", "http://orders/"), ("a:1", "http://orders/")] {
            assert_eq!(origin.uri(request.parse().unwrap()).to_string(), uri, "{request}");
        }
    }

    #[test]
    fn a_wrong_scheme_or_authority_is_named_with_the_remedy() {
        let error = Origin::new(&"redis://cache".parse().unwrap()).unwrap_err();
        assert!(error.is_config() && error.to_string().contains("`redis`"), "{error}");
        let origin = Origin::new(&"http://orders".parse().unwrap()).unwrap();
        for wrong in ["", "a b", "user@host", "host:port:1"] {
            let error = origin.clone().with_authority(wrong).unwrap_err();
            assert!(error.to_string().contains("host:port"), "{wrong}: {error}");
        }
        assert_eq!(origin.with_authority("a:1").unwrap().uri("/x".parse().unwrap()).to_string(), "http://a:1/x");
    }
}
