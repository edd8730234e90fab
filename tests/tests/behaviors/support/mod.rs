//! What several folders use: a pod of `shop` and its DNS server, and pods behind each of the two HTTP clients.

pub(crate) mod balance;
pub(crate) mod client;
pub(crate) mod corefile;
pub(crate) mod dns;
pub(crate) mod environment;
pub(crate) mod pods;
pub(crate) mod raw_dns;
