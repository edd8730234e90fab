//! A service that balances each call.

mod drivers;
mod retry;
mod service;
mod settings;
mod transport;

pub use retry::{HttpRetry, NoRetry, RetryPolicy};
#[cfg(feature = "client")]
pub(crate) use retry::{http_outcome, may_retry};
pub use service::Balance;
pub use transport::{is_interrupted, is_refused};
