//! The URLs of a record: home page, status page and health checks.

use serde::Serialize;
use url::Url;

use super::RecordSettings;
use crate::Error;

/// The URLs of a record; `None` is left out.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Urls {
    #[serde(skip_serializing_if = "Option::is_none")]
    home_page_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_page_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    health_check_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secure_health_check_url: Option<String>,
}

impl RecordSettings {
    pub(super) fn check_pages(&self) -> Result<(), Error> {
        check_page("home page", Some(&self.home_page))?;
        check_page("status page", self.status_page.as_deref())?;
        check_page("health check", self.health_check.as_deref())?;
        check_page("secure health check", self.secure_health_check.as_deref())
    }

    /// Returns the URLs on a host, which has brackets if it is an IPv6 address.
    pub(super) fn urls(&self, host_name: &str) -> Urls {
        let url = |scheme: &str, port: Option<u16>, path: &str| {
            let path = path.trim_start_matches('/');
            port.map(|port| format!("{scheme}://{host_name}:{port}/{path}"))
        };
        let below = |path: &str| url("http", self.port, path).or_else(|| url("https", self.secure_port, path));
        let page = |page: &str| absolute(page).map(String::from).or_else(|| below(page));
        // An absolute URL belongs to the field of its scheme.
        let health_check = |scheme, port, page: &str| match absolute(page) {
            Some(absolute) => (absolute.scheme() == scheme).then(|| absolute.into()),
            None => url(scheme, port, page),
        };
        let (plain, secure) = (self.health_check.as_deref(), self.secure_health_check.as_deref());
        Urls {
            home_page_url: page(&self.home_page),
            status_page_url: self.status_page.as_deref().and_then(page),
            health_check_url: plain.and_then(|page| health_check("http", self.port, page)),
            secure_health_check_url: secure.or(plain).and_then(|page| health_check("https", self.secure_port, page)),
        }
    }
}

/// Returns a page that is given as an absolute URL; `None` for a path.
fn absolute(page: &str) -> Option<Url> {
    let is_web = |url: &Url| matches!(url.scheme(), "http" | "https");
    page.split_once("://").and_then(|_| Url::parse(page).ok()).filter(is_web)
}

/// Accepts a path, or an absolute URL of http or https.
fn check_page(what: &str, page: Option<&str>) -> Result<(), Error> {
    let Some(page) = page else { return Ok(()) };
    // `localhost:8080/health` is a host with a port, and `//localhost/health` one without a scheme.
    let has_host = page.starts_with("//") || page.split('/').next().is_some_and(|first| first.contains(':'));
    let rule = if page.contains(|c: char| c.is_whitespace() || c.is_control()) {
        "it contains a space or a control character"
    } else if has_host && absolute(page).is_none() {
        "it is neither a path nor an http or https URL"
    } else {
        return Ok(());
    };
    let remedy = "pass a path such as `/health`, or a URL such as `http://10.0.0.1:9090/health`";
    Err(Error::config(format!("invalid {what} `{page}`: {rule}; {remedy}")))
}
