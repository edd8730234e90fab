//! The data of a registry: no I/O, no clock.
//!
//! | module | content |
//! |---|---|
//! | `instance` | an instance and its status |
//! | `lease` | how long the registry keeps an instance |
//! | `filter` | which instances of an application are chosen |
//! | `read` | JSON to these types, for servers of any version |
//! | `applications` | all instances of a registry: apply a delta, compute the hash, look up a name |

mod applications;
mod filter;
mod instance;
mod lease;
mod read;

pub use applications::Application;
pub(crate) use applications::{Applications, Named};
pub(crate) use filter::InstanceFilter;
pub(crate) use instance::can_lead_to_instance;
pub use instance::{Instance, InstancePort, InstanceUrls, Status};
pub use lease::Lease;
pub(crate) use read::{Action, Page, ReadError, application, applications, instance};
