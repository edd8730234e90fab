//! Endpoints and sets of endpoints: the types that sources, refresh, policies and clients share.

mod backend;
mod set;
mod special;

pub use backend::{Conditions, Endpoint, Identity};
pub use set::{Diff, EndpointSet};
pub use special::SpecialAddress;
