//! Failed requests, sorted by what has to be done about them.

use std::{error::Error as StdError, fmt, time::Duration};

use kube::core::Status;

use crate::{Error, name::Namespace, source::kubernetes::cache::Denial};

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
    /// Anything else: a connect error, a timeout, 5xx, a malformed response.
    Other(String),
}

impl Failure {
    /// The client could not be created, or the request not built.
    pub(super) fn from_local_error(error: &dyn StdError) -> Self {
        Self::Other(chain(error))
    }

    pub(super) fn from_list_error(error: &kube::Error) -> Self {
        Self::from_error(Denial::List, error)
    }

    pub(super) fn from_watch_error(error: &kube::Error) -> Self {
        Self::from_error(Denial::Watch, error)
    }

    /// The API server reported an error within a watch that had begun.
    pub(super) fn from_watch_status(status: &Status) -> Self {
        Self::from_status(Denial::Watch, status)
    }

    pub(super) fn from_timeout(what: &str, after: Duration) -> Self {
        Self::Other(format!("{what} within {after:.0?}"))
    }

    fn from_error(forbidden: Denial, error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::from_status(forbidden, status),
            error => Self::Other(chain(error)),
        }
    }

    fn from_status(forbidden: Denial, status: &Status) -> Self {
        let text = format!("{} {}: {}", status.code, status.reason, status.message);
        match (status.code, &*status.reason) {
            (410, _) | (_, "Expired" | "Gone") => Self::Gone,
            (401, _) => Self::Unauthorized(text),
            (403, _) => Self::Denied(forbidden, text),
            (404, _) => Self::Denied(Denial::Resource, text),
            _ => match status.details.as_ref().map_or(0, |details| details.retry_after_seconds) {
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
            Self::Gone | Self::Busy(..) | Self::Other(_) => {
                Error::transient(format!("cannot list and watch {resource} in namespace `{namespace}`: {self}"))
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "410 Gone",
            Self::Unauthorized(text) | Self::Denied(_, text) | Self::Busy(text, _) | Self::Other(text) => text,
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
    text
}
