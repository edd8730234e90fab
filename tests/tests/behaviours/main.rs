//! The behaviours that the documentation promises, on a real DNS server and real HTTP servers on loopback.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attached;
mod context;
mod env_chain;
mod failures;
mod http_client;
mod incumbent;
mod lifecycle;
mod proxies;
mod query_budget;
mod refusals;
mod reqwest;
mod smoke;
mod surprises;
mod tower;
mod traps;
