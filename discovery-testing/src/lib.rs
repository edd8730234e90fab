//! Test doubles for programs that find and call Services of Kubernetes.
//!
//! ```
//! use discovery_testing::{FakeCluster, QType};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let cluster = FakeCluster::start().await?;
//! let orders = cluster.service("shop", "orders").replicas(3).start().await?;
//!
//! // Give `cluster.env("shop")` to the code under test and let it call `orders`. Afterwards:
//! let requests: usize = orders.requests().values().sum();
//! let questions = cluster.dns().count("orders.shop.svc.cluster.local", QType::A);
//! # assert_eq!((requests, questions), (0, 0));
//! # Ok(())
//! # }
//! ```
//!
//! # Overview
//!
//! | double | plays |
//! |---|---|
//! | [`FakeDns`] | the cluster's DNS: the Kubernetes DNS specification 1.1.0, in the dialect of CoreDNS, over UDP and TCP |
//! | [`Rule`] | its bad days: lost packets, late answers, SERVFAIL, truncation, garbage |
//! | [`FakePod`] | an HTTP server, which can be slow, broken, hanging, dead, or draining |
//! | [`FakeCluster`], [`FakeService`] | both together: a headless Service with pods that come, go and roll |
//! | [`ManualSource`] | a source of the resolver that says what the test tells it, where DNS does not matter |
//!
//! # No sleeping
//!
//! A change is in force when the call returns (or its future resolves): the next question and the next request see it.
//! To wait for the code under test, use [`FakeDns::asked`] and [`FakePod::when`], which resolve as soon as it happens;
//! both are cancel-safe, so a time limit around them is fine. Sockets do not follow tokio's paused clock:
//! run these tests on real time, with short TTLs.
//!
//! # Repeatable
//!
//! The order of addresses in answers changes from answer to answer, as with CoreDNS, and is the same in every run:
//! see [`FakeDnsBuilder::shuffle`]. Only ports and the addresses of pods are left to chance, so that
//! test processes which run side by side do not meet.
//!
//! # Mistakes in a test
//!
//! Builders panic on input that cannot be meant, such as a bad IP address, and name it.
//!
//! # What is touched
//!
//! Sockets on 127.0.0.1 (DNS) and on addresses within 127.0.0.0/8 (pods of a cluster), each on a free port.
//! No file, no environment variable, no other network. Nothing outlives the handles.
//! Pods of a [`FakeCluster`] need a system where all of 127.0.0.0/8 is loopback: Linux, not macOS.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod cluster;
mod dns;
mod ip;
mod kubelet;
mod manual;
mod name;
mod pod;
mod query;
mod script;
mod server;
mod zone;

pub use cluster::{FakeCluster, FakeService, FakeServiceBuilder};
pub use dns::{FakeDns, FakeDnsBuilder};
pub use ip::IntoIp;
pub use manual::{ManualHandle, ManualSource};
pub use pod::{Behavior, Counters, FakePod};
pub use query::{QType, ReceivedQuery, Transport};
pub use script::{Rule, RuleId};
pub use zone::{Glue, Pod, PodRecords, Service};
