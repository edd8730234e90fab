//! The URL of a registry.

use std::fmt;

use url::{Host, Url};

use crate::Error;

/// The base URL of a registry, which `apps` is appended to. `Display` and `Debug` leave out user and password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct RegistryUrl {
    base: Url,
    shown: String,
}

impl RegistryUrl {
    /// Parses one URL, or several separated by commas. A comma before anything but another scheme belongs to the URL.
    pub(super) fn parse_list(text: &str) -> Result<Vec<Self>, Error> {
        let mut pieces: Vec<String> = Vec::new();
        for piece in text.split(',') {
            let is_url = ["http://", "https://"].iter().any(|scheme| piece.trim_start().starts_with(scheme));
            match pieces.last_mut() {
                Some(last) if !is_url && !piece.trim().is_empty() => {
                    last.push(',');
                    last.push_str(piece);
                }
                _ if piece.trim().is_empty() => {}
                _ => pieces.push(piece.to_owned()),
            }
        }
        let urls: Vec<_> = pieces.iter().map(|piece| Self::parse(piece.trim())).collect::<Result<_, _>>()?;
        if urls.is_empty() {
            return Err(Error::config("the registry URL is empty: pass one such as http://eureka:8761/eureka"));
        }
        Ok(urls)
    }

    fn parse(text: &str) -> Result<Self, Error> {
        // Everything before `@` is secret, even if the rest is invalid.
        let safe = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
        let refuse = |rule: &str| {
            Error::config(format!(
                "invalid registry URL `{safe}`: {rule}; write it as http://user:password@eureka:8761/eureka, \
                 with `/`, `@` and `:` of the password as %2F, %40 and %3A"
            ))
        };
        let mut base = Url::parse(text).map_err(|error| refuse(&error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(refuse("the scheme is neither http nor https"));
        }
        if base.host_str().is_none_or(str::is_empty) {
            return Err(refuse("the host is missing"));
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(refuse("a query or fragment is not allowed"));
        }
        let path = format!("{}/", base.path().trim_end_matches('/'));
        base.set_path(&path);
        let mut shown = base.clone();
        strip_credentials(&mut shown);
        Ok(Self { base, shown: shown.to_string() })
    }

    /// Returns the URL of a resource below the base, with credentials. For requests only, which move them to a header.
    pub(super) fn join(&self, path: &[&str], query: &[(&str, String)]) -> Url {
        let mut url = self.base.clone();
        let segments: Vec<_> = path.iter().map(|segment| encode(segment)).collect();
        // The encoded segments contain nothing that `set_path` would change.
        url.set_path(&format!("{}{}", self.base.path(), segments.join("/")));
        if segments.is_empty() {
            url.set_path(self.base.path().trim_end_matches('/'));
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Returns whether a request to this URL can be read on the way: it is not encrypted, and leaves this machine.
    pub(super) fn is_exposed(&self) -> bool {
        self.base.scheme() == "http"
            && !match self.base.host() {
                Some(Host::Domain(name)) => name == "localhost",
                Some(Host::Ipv4(ip)) => ip.is_loopback(),
                Some(Host::Ipv6(ip)) => ip.to_canonical().is_loopback(),
                None => false,
            }
    }

    /// Returns scheme, host and port, without credentials.
    pub(super) fn origin(&self) -> Url {
        let mut origin = self.base.clone();
        strip_credentials(&mut origin);
        origin.set_path("");
        origin
    }
}

/// Checks a list of URLs.
pub(crate) fn check_urls(text: &str) -> Result<(), Error> {
    RegistryUrl::parse_list(text).map(|_| ())
}

/// Removes user and password.
pub(super) fn strip_credentials(url: &mut Url) {
    // Neither call fails for a URL with a host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
}

/// Encodes all but the `pchar`s of RFC 3986. `Url` leaves `[`, `]`, `|` and `^` in a path, which Tomcat rejects.
fn encode(segment: &str) -> String {
    let mut encoded = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

impl fmt::Display for RegistryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for RegistryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> RegistryUrl {
        let [url] = &RegistryUrl::parse_list(text).unwrap()[..] else { panic!("{text}") };
        url.clone()
    }

    #[test]
    fn base_may_end_with_or_without_a_slash() {
        let path = ["apps", "RATES", "a b:c?d"];
        for base in ["http://eureka:8761/eureka", "http://eureka:8761/eureka/", "http://eureka:8761/eureka//"] {
            assert_eq!(one(base).join(&path, &[]).as_str(), "http://eureka:8761/eureka/apps/RATES/a%20b:c%3Fd");
        }
        assert_eq!(one("http://eureka///").join(&path[..1], &[]).as_str(), "http://eureka/apps");
        assert_eq!(one("http://eureka").join(&path[..1], &[]).as_str(), "http://eureka/apps");
        let query = [("value", "a&b".to_owned())];
        assert_eq!(one("http://eureka/v2").join(&[], &query).as_str(), "http://eureka/v2?value=a%26b");
    }

    /// Tomcat responds with 400 to a path with a character that RFC 3986 does not allow there.
    #[test]
    fn encodes_every_character_that_a_path_may_not_contain() {
        let url = one("http://eureka/eureka").join(&["apps", "A", "a[0]|^`{}\"<>\\%#?é_~!$&'()*+,;=:@/"], &[]);
        let id = "a%5B0%5D%7C%5E%60%7B%7D%22%3C%3E%5C%25%23%3F%C3%A9_~!$&'()*+,;=:@%2F";
        assert_eq!(url.as_str(), format!("http://eureka/eureka/apps/A/{id}"));
    }

    #[test]
    fn never_shows_credentials() {
        let url = one("http://user:p%40ss@eureka:8761/eureka");
        for shown in [url.to_string(), format!("{url:?}"), url.origin().to_string()] {
            assert!(shown.starts_with("http://eureka:8761/"), "{shown}");
        }
        for bad in
            ["http://user:s3cret@", "ftp://user:s3cret@host/", "http://user:s3/cret@host", "http://u:s3,cr:et@h:x/"]
        {
            let text = RegistryUrl::parse_list(bad).unwrap_err().to_string();
            assert!(!text.contains("s3"), "{text}");
        }
    }

    #[test]
    fn only_tls_and_this_machine_hide_a_request() {
        for exposed in
            ["http://eureka:8761/eureka", "http://10.0.0.1/eureka", "http://[fd00::1]/", "http://localhost.com"]
        {
            assert!(one(exposed).is_exposed(), "{exposed}");
        }
        for hidden in
            ["https://eureka/eureka", "http://127.0.0.1:8761/eureka", "http://[::1]:8761/", "http://localhost:1"]
        {
            assert!(!one(hidden).is_exposed(), "{hidden}");
        }
    }

    #[test]
    fn splits_several_urls_at_commas() {
        let texts: Vec<_> = RegistryUrl::parse_list("http://a:1/eureka, https://u:x,y@b/eureka/ ,")
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(texts, ["http://a:1/eureka/", "https://b/eureka/"]);
        assert!(RegistryUrl::parse_list(" , ").unwrap_err().is_config());
        assert!(RegistryUrl::parse_list("eureka:8761").unwrap_err().is_config());
        assert!(RegistryUrl::parse_list("http://eureka/?a=b").unwrap_err().is_config());
    }
}
