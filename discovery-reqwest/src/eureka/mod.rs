//! Eureka.
mod error;
mod identity;
mod model;
mod registration;
mod registry;
mod source;
mod wall;
pub use error::Error;
pub use identity::IpFamily;
pub use model::{Instance, InstancePort, Status};
pub use registration::{Registration, RegistrationBuilder, RegistrationState};
pub use source::{EurekaSource, EurekaSourceBuilder, FetchCounts};

/// Differs between processes and calls: the standard library's hasher keys come from the operating system.
fn seed() -> u64 {
    use std::hash::BuildHasher as _;
    std::hash::RandomState::new().hash_one(0_u64)
}
