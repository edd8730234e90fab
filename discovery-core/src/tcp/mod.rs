//! TCP connections to the endpoints of a target, for clients that are not HTTP: databases, caches, message brokers.
//!
//! | what the client takes | what to use |
//! |---|---|
//! | a stream: `tokio_postgres::Config::connect_raw`, `redis::aio` | [`Upstream::connect`](crate::Upstream::connect), or a [`TcpConnector`] with its settings |
//! | a list of addresses: bootstrap servers | [`Upstream::addrs`](crate::Upstream::addrs) |
//! | a host and a port only | a [`Bridge`], which listens on loopback |
//!
//! Each connection goes to an endpoint that the resolver's policy picks, and counts in the load of that endpoint until
//! it is closed. Nothing is sent while a connection is established, so that a failed attempt goes to another endpoint.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use discovery_core::{Resolver, tcp::Bridge};
//! use tokio::io::AsyncWriteExt;
//!
//! let cache = Resolver::new()?.upstream("cache.shop:6379")?;
//! let mut connection = cache.connect().await?;
//! connection.write_all(b"PING\r\n").await?;
//!
//! let bridge = Bridge::bind(cache).await?;
//! println!("redis://{}", bridge.local_addr());
//! # Ok(())
//! # }
//! ```

mod bridge;
mod connection;
mod connector;
mod race;

pub use bridge::Bridge;
pub use connection::Connection;
pub use connector::TcpConnector;
pub use race::connect_to_first;
