//! Which endpoint a request goes to.

mod balance;
mod bodies;
mod client;
mod client_bodies;
mod discover;
mod endpoint_map;
mod picks;
mod readiness;
mod tcp;
mod upgrades;
