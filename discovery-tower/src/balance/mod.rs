//! A service that balances each call.

mod drivers;
mod retry;
mod service;
mod transport;

pub use retry::{HttpRetry, NoRetry, RetryPolicy};
pub use service::Balance;
pub use transport::{is_interrupted, is_refused};
