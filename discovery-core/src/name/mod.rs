//! Names: what an application asked for, parsed once, valid by construction, without I/O.
//!
//! Every type here has one door, its constructor, which checks the rule of the thing it names. Upper case
//! is folded: DNS compares names without regard to case (RFC 4343).

mod domain;
mod error;
mod host;
mod label;
mod parse;
mod port;
mod scheme;
mod target;

pub use domain::{ClusterDomain, DomainName};
pub use error::NameError;
pub use host::Host;
pub use label::{Hostname, Namespace, PortName, ServiceName};
pub use port::{Port, Protocol};
pub use scheme::Scheme;
pub use target::Target;
