//! The data of a registry: no I/O, no clock.
//!
//! | module | content |
//! |---|---|
//! | `instance` | an instance and its status |
//! | `read` | JSON to these types, for servers of any version |
//! | `applications` | all instances of a registry: apply a delta, compute the hash, look up a name |

mod applications;
mod instance;
mod read;

pub(crate) use applications::Applications;
pub(crate) use instance::can_lead_to_instance;
pub use instance::{Instance, InstancePort, Status};
pub(crate) use read::{Action, Page, applications, instance};
