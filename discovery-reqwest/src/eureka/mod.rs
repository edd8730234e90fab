//! Eureka.
mod error;
mod identity;
mod model;
mod registry;
pub use error::Error;
pub use identity::IpFamily;
pub use model::{Instance, InstancePort, Status};
