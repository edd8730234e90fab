//! Registration of this pod.
//!
//! | | |
//! |---|---|
//! | builder | what the application says of itself; checks |
//! | record | what the registry is told |
//! | machine | what to do next, and when: pure, `now` is an argument |
//! | updates | how often a change may be told: pure |
//! | driver | the one task that sends, one request after the other |
//! | handle | what the application holds |
//! | health | the application's own check |

mod builder;
mod driver;
mod handle;
mod health;
mod machine;
mod record;
mod state;
mod updates;

pub use builder::RegistrationBuilder;
pub use handle::Registration;
pub use state::RegistrationState;
