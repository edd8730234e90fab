//! Whether a failed request is sent again, and where.

mod balance;
mod client;
mod connecting;
mod dead_connections;
mod http2_refusals;
mod http_client;
mod redirects;
