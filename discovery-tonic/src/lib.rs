//! A channel for [tonic]'s generated gRPC clients that balances each call over the live pods of a Kubernetes Service.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use discovery_tonic::{Channel, Resolver};
//! use tonic_health::pb::health_client::HealthClient;
//!
//! let channel = Channel::new(&Resolver::new()?, "http://_grpc._tcp.rates")?;
//! let mut client = HealthClient::new(channel);
//! client.check(tonic_health::pb::HealthCheckRequest::default()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Channel`] explains retries and deadlines; [`ChannelBuilder`] has the settings. This version is for tonic 0.14.
//!
//! # Features
//!
//! * `tls`: `ChannelBuilder::tls`, for targets with `https`.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod attempt;
mod builder;
mod channel;
mod deadline;

pub use builder::ChannelBuilder;
pub use channel::Channel;
pub use discovery_core::{Environment, Resolver, ResolverBuilder, Upstream};
