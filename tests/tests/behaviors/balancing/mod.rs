//! Which endpoint a request goes to.

mod balance;
mod client;
mod discover;
mod endpoint_map;
mod picks;
