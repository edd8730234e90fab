//! A service that balances each call over the endpoints of an upstream.

mod attempt;
mod service;

pub use attempt::{Attempt, Once, Retry};
pub use service::Balance;
