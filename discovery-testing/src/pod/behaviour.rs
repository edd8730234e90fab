use std::time::Duration;

use http::StatusCode;

/// How a [`FakePod`](crate::FakePod) treats the requests that arrive from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Behaviour {
    /// Answers at once.
    #[default]
    Healthy,
    /// Answers after this long.
    Slow(Duration),
    /// Answers with this status at once, without asking the handler.
    Broken(StatusCode),
    /// Accepts, reads, and never answers.
    Hanging,
}
