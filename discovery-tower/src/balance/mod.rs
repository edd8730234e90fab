//! A service that balances each call over the endpoints of an upstream.

mod retry;
mod service;

pub use retry::{HttpRetry, NoRetry, RetryPolicy};
pub use service::Balance;
