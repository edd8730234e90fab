//! Names: what an application asked for, parsed once, valid by construction, without I/O.
//!
//! Each type is checked by its constructor, so a value is always valid. Names are folded to lower case, because DNS
//! names are not case-sensitive (RFC 4343).

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
