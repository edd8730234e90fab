//! Whether a failed request is sent again, and where.

mod balance;
mod client;
mod http2_refusals;
mod redirects;
