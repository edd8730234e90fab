//! Services and EndpointSlices as plain types without I/O, reduced to the fields that routing needs.

mod ip;
mod service;
mod slice;

pub use ip::parse_ip;
pub use service::{Service, ServiceKind, ServicePort};
pub use slice::{AddressType, Slice, SliceEndpoint, SlicePort};
