//! What goes over the wire, in plain types: no I/O, no clock.
//!
//! | | |
//! |---|---|
//! | status, instance | the types |
//! | value, read | JSON to types, whatever a server of any age writes |
//! | write | the one body that is sent, as servers of all ages accept it |
//! | applications | all instances: the hash, a delta applied, lookups |

mod applications;
mod instance;
mod read;
mod status;
mod value;
mod write;

pub(crate) use applications::Applications;
pub use instance::{Instance, InstancePort};
pub(crate) use read::{Action, Page, applications, instance};
pub use status::Status;
pub(crate) use write::{Body, Urls};
