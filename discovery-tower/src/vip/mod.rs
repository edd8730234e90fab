//! Services' virtual addresses as destinations of a client in this process.

mod connector;
mod error;
mod stream;

pub use connector::VipConnector;
pub use error::VipError;
pub use stream::{VipEndpoint, VipStream};
