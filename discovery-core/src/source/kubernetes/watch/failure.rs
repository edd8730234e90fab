//! What can go wrong with a request, by what has to be done about it.

use std::{error::Error as StdError, time::Duration};

/// Why a request failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// 410: the version is too old, a new list is needed. Not a failure of the API server.
    Gone,
    /// 401: the token is not, or no longer, a good one.
    Unauthorized(String),
    /// 403.
    Forbidden(Verb, String),
    /// 404: there is no such resource.
    Missing(String),
    /// 429 and the like, with how long the server wants us to wait.
    Busy(String, Duration),
    /// Anything else: no connection, no answer in time, 5xx, nonsense.
    Other(String),
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    List,
    Watch,
}

impl Failure {
    /// Before anything was sent.
    pub(super) fn local(error: &kube::Error) -> Self {
        Self::Other(chain(error))
    }

    pub(super) fn of(verb: Verb, error: &kube::Error) -> Self {
        let kube::Error::Api(status) = error else { return Self::Other(chain(error)) };
        Self::of_status(verb, status)
    }

    pub(super) fn of_status(verb: Verb, status: &kube::core::Status) -> Self {
        let text = format!("{} {}: {}", status.code, status.reason, status.message);
        match (status.code, &*status.reason) {
            (410, _) | (_, "Expired" | "Gone") => Self::Gone,
            (401, _) => Self::Unauthorized(text),
            (403, _) => Self::Forbidden(verb, text),
            (404, _) => Self::Missing(text),
            _ => match status.details.as_ref().map_or(0, |details| details.retry_after_seconds) {
                0 => Self::Other(text),
                // Nobody tells us to wait for longer than a minute.
                seconds => Self::Busy(text, Duration::from_secs(u64::from(seconds).min(60))),
            },
        }
    }

    pub(super) fn late(what: &str, after: Duration) -> Self {
        Self::Other(format!("{what} within {after:.0?}"))
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::Gone => "410 Gone",
            Self::Unauthorized(text)
            | Self::Forbidden(_, text)
            | Self::Missing(text)
            | Self::Busy(text, _)
            | Self::Other(text) => text,
        }
    }
}

/// The error with its causes: the outermost one alone says "service error". A cause that the text before it already
/// ends with is not said again.
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
