//! Failed requests, sorted by what has to be done about them.

use std::{error::Error as StdError, fmt, time::Duration};

use k8s_openapi::serde_json;
use kube::core::{Status, response::StatusDetails};

use crate::{
    Error,
    name::Namespace,
    source::kubernetes::cache::Denial,
    text::{excerpt, printable},
};

/// The most characters of a text that the API server or a library chose.
const MAX_TEXT: usize = 400;

/// Why a request failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// 410: the resource version is too old and a new list is needed. The API server itself works.
    Gone,
    /// 401: the token is invalid or has expired.
    Unauthorized(String),
    /// 403, or 404 for the resource as a whole.
    Denied(Denial, String),
    /// 429 and the like, with the time that the API server asks clients to wait.
    Busy(String, Duration),
    /// The API server ended a watch at once, without an event.
    Ended,
    /// The connection of a watch that had begun broke.
    Cut(String),
    /// Anything else: a connect error, a timeout, 5xx, a malformed response.
    Other(String),
}

/// A response whose status is not a success.
#[derive(Debug)]
pub(super) struct Refusal<'a> {
    code: u16,
    /// The standard name of the code, such as `Forbidden`.
    name: &'a str,
    retry_after: Option<u32>,
    body: &'a [u8],
}

impl<'a> Refusal<'a> {
    /// `retry_after` is the header of that name. As for client-go, it counts for 429 and 5xx, and only as a number of
    /// seconds.
    pub(super) fn new(code: u16, name: &'a str, retry_after: Option<&str>, body: &'a [u8]) -> Self {
        let is_heeded = code == 429 || code >= 500;
        let retry_after = retry_after.filter(|_| is_heeded).and_then(|seconds| seconds.trim().parse().ok());
        Self { code, name, retry_after, body }
    }

    /// Returns the Status in the body, completed by what the head says. A proxy may send a body of any kind.
    fn status(&self) -> Status {
        let mut status: Status = serde_json::from_slice(self.body).unwrap_or_default();
        status.code = self.code;
        if status.reason.is_empty() {
            self.name.clone_into(&mut status.reason);
        }
        if status.message.is_empty() {
            status.message = excerpt(self.body);
        }
        status
    }
}

impl Failure {
    /// The client could not be created, or the request not built or not sent.
    pub(super) fn from_local_error(error: &dyn StdError) -> Self {
        Self::Other(chain(error))
    }

    /// The API server, or a proxy in front of it, refused the request.
    pub(super) fn from_refusal(forbidden: Denial, refusal: &Refusal<'_>) -> Self {
        Self::from_status(forbidden, &refusal.status(), refusal.retry_after.unwrap_or(0))
    }

    /// The connection of a watch broke.
    pub(super) fn from_cut(error: &dyn StdError) -> Self {
        Self::Cut(chain(error))
    }

    /// The API server sent something else than expected.
    pub(super) fn from_malformed(what: &str, error: &dyn fmt::Display, bytes: &[u8]) -> Self {
        let error = printable(&error.to_string(), MAX_TEXT);
        Self::Other(format!("{what} (`{}`): {error}", excerpt(bytes)))
    }

    /// The API server reported an error within a watch that had begun.
    pub(super) fn from_watch_status(status: &Status) -> Self {
        Self::from_status(Denial::Watch, status, 0)
    }

    /// The API server sent more than this source accepts.
    pub(super) fn from_bound(what: &str) -> Self {
        Self::Other(format!("{what}: check the API server, and what answers in its place"))
    }

    pub(super) fn from_timeout(what: &str, after: Duration) -> Self {
        Self::Other(format!("{what} within {after:.0?}"))
    }

    fn from_status(forbidden: Denial, status: &Status, retry_after: u32) -> Self {
        let reason = printable(&status.reason, MAX_TEXT);
        let text = match &*printable(&status.message, MAX_TEXT) {
            "" => format!("{} {reason}", status.code),
            message => format!("{} {reason}: {message}", status.code),
        };
        match (status.code, &*status.reason) {
            (401, _) => Self::Unauthorized(text),
            (403, _) => Self::Denied(forbidden, text),
            (404, _) => Self::Denied(Denial::Resource, text),
            (410, _) | (_, "Expired" | "Gone") => Self::Gone,
            _ => match retry_after.max(status.details.as_ref().map_or(0, seconds)) {
                0 => Self::Other(text),
                // A wait of more than a minute is cut to a minute.
                seconds => Self::Busy(text, Duration::from_secs(u64::from(seconds).min(60))),
            },
        }
    }

    /// The error that the application sees; `resource` is a plural such as `Services`.
    pub(super) fn to_error(&self, resource: &str, namespace: &Namespace) -> Error {
        match self {
            Self::Denied(Denial::List | Denial::Watch, text) => Error::transient(format!(
                "not allowed to list and watch {resource} in namespace `{namespace}` ({text}): bind this pod's service \
                 account to a Role with the verbs get, list and watch on `endpointslices` of `discovery.k8s.io` and on \
                 `services` in namespace `{namespace}` (deploy/role.yaml); falling back to DNS until then"
            )),
            Self::Denied(Denial::Resource, text) => Error::config(format!(
                "the API server does not serve {resource} ({text}): EndpointSlices need `discovery.k8s.io/v1`, \
                 Kubernetes 1.21 or newer; switch this source off on a cluster that has only Endpoints"
            )),
            Self::Unauthorized(text) => Error::transient(format!(
                "the API server rejected the bearer token of this pod's service account ({text}): check that the token \
                 is valid for this cluster"
            )),
            Self::Gone | Self::Ended | Self::Busy(..) | Self::Cut(_) | Self::Other(_) => {
                Error::transient(format!("cannot list and watch {resource} in namespace `{namespace}`: {self}"))
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "410 Gone: the API server does not keep changes as old as the last list",
            Self::Ended => "the API server ends each watch at once",
            Self::Unauthorized(text)
            | Self::Denied(_, text)
            | Self::Busy(text, _)
            | Self::Cut(text)
            | Self::Other(text) => text,
        })
    }
}

/// Joins an error and its causes, since the outermost text alone may be just "service error". A cause that the text
/// before it already ends with is left out.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    printable(&text, MAX_TEXT)
}

fn seconds(details: &StatusDetails) -> u32 {
    details.retry_after_seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(code: u16, name: &str, retry_after: Option<&str>, body: &str) -> String {
        format!("{:?}", Failure::from_refusal(Denial::Watch, &Refusal::new(code, name, retry_after, body.as_bytes())))
    }

    /// client-go `rest/request.go`, `checkWait` and `retryAfterSeconds`.
    #[test]
    fn sorts_a_refusal_by_its_status_whatever_its_body() {
        let status =
            r#"{"kind":"Status","code":200,"reason":"Expired","message":"m","details":{"retryAfterSeconds":7}}"#;
        for (code, name, retry_after, body, wanted) in [
            (403, "Forbidden", None, "", r#"Denied(Watch, "403 Forbidden")"#),
            (403, "Forbidden", Some("9"), "no\n", r#"Denied(Watch, "403 Forbidden: no")"#),
            (401, "Unauthorized", None, status, r#"Unauthorized("401 Expired: m")"#),
            (
                404,
                "Not Found",
                None,
                "404 page not found\n",
                r#"Denied(Resource, "404 Not Found: 404 page not found")"#,
            ),
            (410, "Gone", Some("9"), "<html>", "Gone"),
            (504, "Gateway Timeout", None, status, "Gone"),
            (429, "Too Many Requests", None, "", r#"Other("429 Too Many Requests")"#),
            (429, "Too Many Requests", Some(" 9 "), "", r#"Busy("429 Too Many Requests", 9s)"#),
            (503, "Service Unavailable", Some("900"), "", r#"Busy("503 Service Unavailable", 60s)"#),
            (
                503,
                "Service Unavailable",
                Some("Fri, 31 Dec 1999 23:59:59 GMT"),
                "",
                r#"Other("503 Service Unavailable")"#,
            ),
            (503, "Service Unavailable", Some("-1"), "", r#"Other("503 Service Unavailable")"#),
            (302, "Found", Some("9"), "", r#"Other("302 Found")"#),
            (
                429,
                "Too Many Requests",
                None,
                r#"{"code":"429"}"#,
                r#"Other("429 Too Many Requests: {\"code\":\"429\"}")"#,
            ),
        ] {
            assert_eq!(sorted(code, name, retry_after, body), wanted);
        }
        let busy = status.replace("Expired", "TooManyRequests");
        assert_eq!(sorted(429, "", None, &busy), r#"Busy("429 TooManyRequests: m", 7s)"#);
        assert_eq!(sorted(429, "", Some("3"), &busy), r#"Busy("429 TooManyRequests: m", 7s)"#);
        assert_eq!(sorted(429, "", Some("8"), &busy), r#"Busy("429 TooManyRequests: m", 8s)"#);
    }

    /// The API server, and what answers in its place, choose these texts.
    #[test]
    fn texts_of_the_server_stay_in_one_short_line() {
        let message = "no\r\nINFO all is well\u{1b}[2J".to_owned() + &"x".repeat(10_000);
        let status = serde_json::json!({"kind": "Status", "message": message, "reason": "a\nb"}).to_string();
        let parse = |text: &str| serde_json::from_str::<Status>(text).unwrap_err();
        for text in [
            Failure::from_refusal(Denial::Watch, &Refusal::new(500, "", None, status.as_bytes())).to_string(),
            Failure::from_watch_status(&serde_json::from_str(&status).unwrap()).to_string(),
            Failure::from_local_error(&std::io::Error::other(message.clone())).to_string(),
            Failure::from_malformed("not a list", &parse(&format!("{{\"code\":{message:?}}}")), &status.into_bytes())
                .to_string(),
        ] {
            assert!(text.chars().count() < 1000 && !text.contains(char::is_control), "{text}");
        }
    }
}
