//! The URL of a registry.

use std::fmt;

use url::Url;

use super::super::Error;

/// The URL of a registry: its base, below which `apps` is. Whatever is shown of it lacks user and password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RegistryUrl {
    base: Url,
    shown: String,
}

/// Reads one URL, or several with commas between them. A comma within a URL is none.
pub(super) fn list(text: &str) -> Result<Vec<RegistryUrl>, Error> {
    let mut pieces: Vec<String> = Vec::new();
    for piece in text.split(',') {
        let begins = ["http://", "https://"].iter().any(|scheme| piece.trim_start().starts_with(scheme));
        match pieces.last_mut() {
            Some(last) if !begins && !piece.trim().is_empty() => {
                last.push(',');
                last.push_str(piece);
            }
            _ if piece.trim().is_empty() => {}
            _ => pieces.push(piece.to_owned()),
        }
    }
    let urls: Vec<_> = pieces.iter().map(|piece| RegistryUrl::new(piece.trim())).collect::<Result<_, _>>()?;
    if urls.is_empty() {
        return Err(Error::config("the URL of the registry is empty: give one such as http://eureka:8761/eureka"));
    }
    Ok(urls)
}

impl RegistryUrl {
    fn new(text: &str) -> Result<Self, Error> {
        // What stands before `@` is secret, also where the rest is wrong.
        let safe = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
        let refuse = |rule: &str| {
            Error::config(format!(
                "registry URL `{safe}`: {rule}; write it as http://user:password@eureka:8761/eureka, \
                 with `/`, `@` and `:` in a password as %2F, %40 and %3A"
            ))
        };
        let mut base = Url::parse(text).map_err(|error| refuse(&error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(refuse("its scheme is neither http nor https"));
        }
        if base.host_str().is_none_or(str::is_empty) {
            return Err(refuse("it has no host"));
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(refuse("it has a query or a fragment"));
        }
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        let mut shown = base.clone();
        // Neither fails for a URL with a host.
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        Ok(Self { base, shown: shown.to_string() })
    }

    /// The URL of something below the base, with credentials: for the request only, which moves them to a header.
    pub(super) fn at(&self, path: &[String], query: &[(String, String)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Scheme, host and port, without credentials.
    pub(crate) fn origin(&self) -> Url {
        let mut origin = self.base.clone();
        let _ = origin.set_username("");
        let _ = origin.set_password(None);
        origin.set_path("");
        origin
    }
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
        let [url] = &list(text).unwrap()[..] else { panic!("{text}") };
        url.clone()
    }

    #[test]
    fn the_base_may_end_with_a_slash_or_not() {
        let path = ["apps".to_owned(), "RATES".to_owned(), "a b:c?d".to_owned()];
        for base in ["http://eureka:8761/eureka", "http://eureka:8761/eureka/"] {
            assert_eq!(one(base).at(&path, &[]).as_str(), "http://eureka:8761/eureka/apps/RATES/a%20b:c%3Fd");
        }
        assert_eq!(one("http://eureka").at(&path[..1], &[]).as_str(), "http://eureka/apps");
        let query = [("value".to_owned(), "a&b".to_owned())];
        assert_eq!(one("http://eureka/v2").at(&[], &query).as_str(), "http://eureka/v2?value=a%26b");
    }

    #[test]
    fn credentials_are_never_shown() {
        let url = one("http://user:p%40ss@eureka:8761/eureka");
        for shown in [url.to_string(), format!("{url:?}"), url.origin().to_string()] {
            assert!(shown.starts_with("http://eureka:8761/"), "{shown}");
        }
        for bad in
            ["http://user:s3cret@", "ftp://user:s3cret@host/", "http://user:s3/cret@host", "http://u:s3,cr:et@h:x/"]
        {
            let text = list(bad).unwrap_err().to_string();
            assert!(!text.contains("s3"), "{text}");
        }
    }

    #[test]
    fn several_have_commas_between_them() {
        let texts: Vec<_> =
            list("http://a:1/eureka, https://u:x,y@b/eureka/ ,").unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["http://a:1/eureka/", "https://b/eureka/"]);
        assert!(list(" , ").unwrap_err().is_config());
        assert!(list("eureka:8761").unwrap_err().is_config());
        assert!(list("http://eureka/?a=b").unwrap_err().is_config());
    }
}
