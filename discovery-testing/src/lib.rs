//! Test doubles for programs that find and call Kubernetes Services: a scripted DNS server, and a fake cluster with
//! HTTP pods on loopback.
//!
//! ```
//! use discovery_testing::{FakeCluster, QType};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let cluster = FakeCluster::start().await?;
//! let orders = cluster.service("shop", "orders").replicas(3).start().await?;
//!
//! // Run the code under test with `cluster.env("shop")`, and let it call `orders`. Afterwards:
//! let requests: usize = orders.requests().values().sum();
//! let queries = cluster.dns().count("orders.shop.svc.cluster.local", QType::A);
//! # assert_eq!((requests, queries), (0, 0));
//! # Ok(())
//! # }
//! ```
//!
//! # Overview
//!
//! | double | stands for |
//! |---|---|
//! | [`FakeDns`] | the cluster's DNS: Kubernetes DNS specification 1.1.0 as in CoreDNS, over UDP and TCP |
//! | [`Rule`] | faults of the DNS: lost packets, late answers, SERVFAIL, truncation, garbage |
//! | [`FakePod`] | an HTTP server that can be slow, failing, hanging, dead, or draining |
//! | [`FakeCluster`], [`FakeService`] | both together: a headless Service whose pods start, stop, and roll |
//! | [`ManualSource`] | a source of the resolver that a test sets by hand, where DNS does not matter |
//!
//! # What a cluster has besides Services
//!
//! | case | call |
//! |---|---|
//! | a name inside the cluster domain that is not a Service | [`FakeDns::record`], [`FakeDns::cname`], [`FakeDns::srv`], [`FakeDns::txt`] |
//! | the Service in front of the DNS server, which NS records name | [`FakeDns::fronted_by`] |
//! | a CoreDNS that has not synced with the API | [`FakeDns::not_synced`] |
//! | pods with different ports | [`Pod::port`], [`Pod::without_port`]; with HTTP servers, [`FakeServiceBuilder::port_per_pod`] |
//! | a node with a long search list | [`FakeDnsBuilder::node_search`]; [`FakeDns::resolv_conf`] cuts it as the kubelet does |
//! | a message that no DNS server should send | [`Rule::raw_with_id`], [`Rule::raw`], [`Rule::garbage`] |
//! | several Services without DNS | [`ManualSource::for_name`] |
//!
//! ```
//! use discovery_testing::{FakeDns, Pod, Rule, Service};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let dns = FakeDns::start().await?;
//! dns.record("legacy.cluster.local", "10.9.9.10");
//! dns.apply(Service::cluster_ip("kube-system", "kube-dns").ip("10.96.0.10").udp_port("dns", 53));
//! dns.fronted_by("kube-system", "kube-dns");
//!
//! let nginx = Service::headless("shop", "nginx").port("web", 8080);
//! dns.apply(nginx.pod(Pod::new("10.1.0.1")).pod(Pod::new("10.1.0.2").port("web", 8081)));
//!
//! // A header without the records that it counts.
//! let header = [0, 0, 0x81, 0x80, 0, 0, 0, 9, 0, 0, 0, 0];
//! dns.script(Rule::any().name("broken.example.com").raw_with_id(header));
//!
//! // `nameserver 127.0.0.1:<port>`: the discovery crates need nothing else.
//! assert!(dns.resolv_conf("shop").contains(&dns.addr().to_string()));
//! # Ok(())
//! # }
//! ```
//!
//! # Wait without sleeping
//!
//! A change is in effect when its call returns (or its future resolves): it applies to the next query and the next
//! request. To wait for the code under test, use [`FakeDns::asked`] and [`FakePod::when`], which resolve as soon as the
//! event happens. Both are cancel-safe, so you can wrap them in a timeout. Sockets ignore tokio's paused clock: run
//! these tests in real time, with short TTLs.
//!
//! # Repeat a run
//!
//! The order of addresses changes from answer to answer, as with CoreDNS, but is the same in every run: see
//! [`FakeDnsBuilder::shuffle`]. Only ports and the addresses of pods are random, so that concurrent test processes do
//! not collide.
//!
//! # Mistakes in a test
//!
//! Builders panic on invalid input, such as a malformed IP address. The message contains the input.
//!
//! # Environment
//!
//! The doubles open sockets on 127.0.0.1 (DNS) and on addresses in 127.0.0.0/8 (pods of a cluster), each on a free
//! port. They use no file, no environment variable and no other network. Everything ends with the handles. Pods of a
//! [`FakeCluster`] need a system where all of 127.0.0.0/8 is loopback: Linux, not macOS.

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
