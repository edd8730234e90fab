//! Endpoints and sets of them: the vocabulary between sources, refresh, policies and clients.

mod conditions;
mod diff;
mod identity;
mod one;
mod set;

pub use conditions::Conditions;
pub use diff::Diff;
pub use identity::Identity;
pub use one::Endpoint;
pub use set::EndpointSet;
