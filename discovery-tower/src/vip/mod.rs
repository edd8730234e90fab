//! Connections to virtual addresses of Services, decided in this process.

mod connector;
mod error;
mod stream;

pub use connector::VipConnector;
pub use error::VipError;
pub use stream::{VipEndpoint, VipStream};
