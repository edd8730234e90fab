//! x
pub mod endpoint;
mod error;
pub mod name;
pub mod plan;
pub mod source;

pub use error::Error;
