//! Services and EndpointSlices in plain types, without I/O: only what routing needs, none of what else a
//! Kubernetes object carries.

mod ip;
mod service;
mod slice;

pub use ip::parse_ip;
pub use service::{Service, ServiceKind, ServicePort};
pub use slice::{AddressType, Slice, SliceEndpoint, SlicePort};
