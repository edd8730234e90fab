use std::time::Duration;

use http::StatusCode;

/// How a [`FakePod`](crate::FakePod) treats the requests that arrive from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Behavior {
    /// Answers at once.
    #[default]
    Healthy,
    /// Answers after this long.
    Slow(Duration),
    /// Answers with this status at once, without asking the handler.
    Failing(StatusCode),
    /// Accepts, reads, and never answers. Such requests stay open until the pod is killed.
    Hanging,
}
