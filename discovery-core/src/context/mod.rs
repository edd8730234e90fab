//! The context of name resolution: the own namespace, the cluster domain, the nameservers, and how to query them.
//!
//! Nothing here reads the environment, a file or the network. The caller passes the variables, the text of
//! `resolv.conf` and the text of the service account's namespace file. It gets a [`Context`] with what was detected,
//! and where. What cannot be detected stays unknown: neither a namespace nor a cluster domain is guessed.

mod detect;
mod nameserver;
mod resolv_conf;
mod settings;

pub use crate::plan::Families;
pub use detect::{Context, DnsOptions, Inputs};
pub use resolv_conf::{ResolvConf, ResolvOptions, Skipped};
pub use settings::Settings;
