//! Registration of this pod.
//!
//! | module | content |
//! |---|---|
//! | `builder` | the settings of a registration |
//! | `pages` | the URLs of the record: home page, status page and health checks |
//! | `record` | the record that is registered, and its JSON |
//! | `machine` | what to send next, and when; pure |
//! | `driver` | the task that sends one request after another, and runs the health check |
//! | `handle` | the application's handle |
//! | `state` | the public state of a registration |
//! | `events` | what happened to a registration, from one state to the next |

mod builder;
mod driver;
mod events;
mod handle;
mod machine;
mod pace;
mod pages;
mod record;
mod state;
mod step;

use std::{collections::BTreeMap, time::Duration};

pub use builder::RegistrationBuilder;
pub use events::{RegistrationEvent, RegistrationEvents};
pub use handle::Registration;
pub(crate) use record::{check_app, check_host, check_id};
pub use state::RegistrationState;

/// The part of the settings that goes into the record. The builder fills it, and `record` turns it into a `Record`.
#[derive(Clone, Debug)]
struct RecordSettings {
    app: String,
    host_name: Option<String>,
    instance_id: Option<String>,
    port: Option<u16>,
    secure_port: Option<u16>,
    vip: Option<String>,
    secure_vip: Option<String>,
    home_page: String,
    status_page: Option<String>,
    health_check: Option<String>,
    secure_health_check: Option<String>,
    metadata: BTreeMap<String, String>,
    renewal: Duration,
    lease: Duration,
}
