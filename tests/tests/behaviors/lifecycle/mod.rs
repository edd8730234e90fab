//! From the first handle of a target to the last, and from the start of a request to its end.

mod client;
mod endpoint_timeout;
mod handles;
mod in_flight;
mod removed_endpoints;
mod retained;
mod rolling_restart;
mod unreachable;
mod unused_targets;
mod watches;
