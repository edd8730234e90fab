//! One request to a registry.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::Method;

/// How long a request may take, from finding the registry to the end of its answer: the Java client's read timeout, which it has on
/// top of 5 s for connecting.
const TIMEOUT: Duration = Duration::from_secs(8);

/// The same for the last request of all: a pod that is going has no time for a registry that hangs.
const LAST_TIMEOUT: Duration = Duration::from_secs(2);

/// One request, and which answers are an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) body: Option<Bytes>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Register,
    Heartbeat,
    Cancel,
    /// An override or metadata.
    Change,
    One,
    Delta,
    Fetch,
}

impl Call {
    fn new(kind: Kind, method: Method, path: &[&str]) -> Self {
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        Self { method, path, query: Vec::new(), body: None, kind }
    }

    fn with_query<'a>(mut self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        self.query.extend(pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())));
        self
    }

    pub(crate) fn register(app: &str, body: Vec<u8>) -> Self {
        let call = Self::new(Kind::Register, Method::POST, &["apps", app]);
        Self { body: Some(body.into()), ..call }
    }

    pub(crate) fn heartbeat(app: &str, id: &str, status: &str, dirty: u64) -> Self {
        let dirty = dirty.to_string();
        Self::new(Kind::Heartbeat, Method::PUT, &["apps", app, id])
            .with_query([("status", status), ("lastDirtyTimestamp", &dirty)])
    }

    pub(crate) fn cancel(app: &str, id: &str) -> Self {
        Self::new(Kind::Cancel, Method::DELETE, &["apps", app, id])
    }

    pub(crate) fn put_override(app: &str, id: &str, status: &str) -> Self {
        Self::new(Kind::Change, Method::PUT, &["apps", app, id, "status"]).with_query([("value", status)])
    }

    /// With a value: without one the status would become UNKNOWN, and the next heartbeat be refused.
    pub(crate) fn remove_override(app: &str, id: &str, status: &str) -> Self {
        Self::new(Kind::Change, Method::DELETE, &["apps", app, id, "status"]).with_query([("value", status)])
    }

    pub(crate) fn metadata<'a>(app: &str, id: &str, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self::new(Kind::Change, Method::PUT, &["apps", app, id, "metadata"]).with_query(pairs)
    }

    /// One instance, past the server's cache.
    pub(crate) fn one(app: &str, id: &str) -> Self {
        Self::new(Kind::One, Method::GET, &["apps", app, id])
    }

    pub(crate) fn all() -> Self {
        Self::new(Kind::Fetch, Method::GET, &["apps"])
    }

    pub(crate) fn delta() -> Self {
        Self::new(Kind::Delta, Method::GET, &["apps", "delta"])
    }

    pub(crate) fn vip(vip: &str) -> Self {
        Self::new(Kind::Fetch, Method::GET, &["vips", vip])
    }

    /// Whether a status is an answer of a server in order, as the Java client has it (`ServerStatusEvaluators`). That a
    /// record is malformed (400) is nobody's fault but ours.
    pub(crate) fn is_answered_by(&self, status: u16) -> bool {
        match (self.kind, status) {
            (_, 200..300) => true,
            (Kind::Register, 302 | 400 | 404) => true,
            (Kind::Heartbeat | Kind::Change | Kind::One, 404) => true,
            (Kind::Delta, 403 | 404) => true,
            (Kind::Cancel, status) => status < 500,
            _ => false,
        }
    }

    pub(super) fn timeout(&self) -> Duration {
        if self.kind == Kind::Cancel { LAST_TIMEOUT } else { TIMEOUT }
    }

    /// The answers that are worth compressing; one kind of server gives them in no other way.
    pub(super) fn takes_gzip(&self) -> bool {
        matches!(self.kind, Kind::Fetch | Kind::Delta)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path.join("/"))
    }
}
