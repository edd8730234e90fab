//! Eureka.
mod model;
pub use model::{Instance, InstancePort, Status};
