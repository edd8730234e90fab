//! The context: where this process runs, as far as names are concerned. Texts and maps in, values out.
//!
//! Nothing here reads the environment, a file or the network: the caller hands in the variables, the text of
//! `resolv.conf` and that of the service account's namespace file, and gets a [`Context`] that says what was
//! found and where. What cannot be found stays unknown: neither a namespace nor a cluster domain is guessed.

mod detect;
mod nameserver;
mod resolv_conf;
mod settings;

pub use crate::plan::Families;
pub use detect::{Context, DnsOptions, Inputs};
pub use resolv_conf::{ResolvConf, ResolvOptions, Skipped};
pub use settings::Settings;
