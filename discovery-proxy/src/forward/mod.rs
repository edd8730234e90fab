//! Carries traffic to where the core sends it: kube-proxy's userspace mode in earnest, with any mode's decisions.
//!
//! [`Forwarder`] listens at Services' addresses; [`Dialer`] needs no listener and dials them from within the process.
//!
//! ```
//! use std::{net::SocketAddr, time::{Duration, Instant}};
//!
//! use discovery_core::policy::SplitMix64;
//! use discovery_proxy::{Config, Mode, Proxier, forward::{Dialer, Forwarder}, object::*};
//! use tokio::{io::{AsyncReadExt, AsyncWriteExt}, net::{TcpListener, TcpStream}};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! // A pod that greets, and a Service of it.
//! let pod = TcpListener::bind("127.0.0.1:0").await?;
//! let addr = pod.local_addr()?;
//! tokio::spawn(async move {
//!     while let Ok((mut client, _)) = pod.accept().await {
//!         let _ = client.write_all(b"hello").await;
//!     }
//! });
//! let mut proxy = Proxier::new(Config::new(IpFamily::V4, Mode::Userspace));
//! proxy.apply_service(&Service {
//!     namespace: "shop".into(),
//!     name: "orders".into(),
//!     cluster_ip: "10.96.0.10".into(),
//!     ports: vec![ServicePort { port: 80, ..ServicePort::default() }],
//!     ..Service::default()
//! });
//! proxy.apply_endpoint_slice(&EndpointSlice {
//!     namespace: "shop".into(),
//!     name: "orders-x7k2p".into(),
//!     labels: [(SERVICE_NAME_LABEL.into(), "orders".into())].into(),
//!     ports: vec![SlicePort { port: Some(addr.port().into()), ..SlicePort::default() }],
//!     endpoints: vec![SliceEndpoint { addresses: vec![addr.ip().to_string()], ..SliceEndpoint::default() }],
//!     ..EndpointSlice::default()
//! });
//!
//! // Listens on loopback in place of the Service's address, which this machine does not have.
//! let listen_at = |_, _| Some(SocketAddr::from(([127, 0, 0, 1], 0)));
//! let forwarder = Forwarder::builder().listen_at(listen_at).start(proxy.snapshot().clone())?;
//! let changes = proxy.sync(Instant::now(), &mut SplitMix64::with_seed(1));
//! assert!(forwarder.publish(&changes).is_empty(), "an address cannot be listened at");
//!
//! let service = "10.96.0.10:80".parse()?;
//! let local = forwarder.local_addr(Protocol::Tcp, service).ok_or("nobody listens")?;
//! let mut greeting = String::new();
//! TcpStream::connect(local).await?.read_to_string(&mut greeting).await?;
//! assert_eq!(greeting, "hello");
//!
//! // Without a listener.
//! let mut dialed = Dialer::new(forwarder.published()).dial(service).await?;
//! assert_eq!(dialed.endpoint(), addr);
//! # let mut greeting = String::new();
//! # dialed.read_to_string(&mut greeting).await?;
//! # assert_eq!(greeting, "hello");
//! # drop(dialed);
//!
//! let drained = forwarder.shutdown(Duration::from_secs(5)).await;
//! assert_eq!(drained.connections_cut, 0);
//! # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
//! # }).unwrap();
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What becomes of a verdict
//!
//! | verdict | TCP | UDP |
//! |---|---|---|
//! | to an endpoint | dialled: four attempts in userspace mode, each with a turn of its own; one in the others | an association |
//! | rejected, for everybody | nobody listens: the kernel refuses | nobody listens: ICMP says so |
//! | rejected, for this client | accepted and reset | lost |
//! | rejected, in userspace mode | accepted and closed | lost |
//! | dropped | accepted, silent for 30 s, reset | lost |
//! | untouched | nobody listens | nobody listens |
//!
//! Endpoints see the forwarder's address, as in userspace mode; what a verdict says of masquerading does not matter.
//! SCTP is not carried. What nftables mode drops for being unallocated is refused by the kernel, as nobody listens.
//!
//! # TCP
//!
//! * Each side's end is passed on, and the other side may go on talking (half-close). A side that breaks off makes the
//!   forwarder reset the other one, so that a part of the data is not taken for all.
//! * A side that does not read stops the other one: a direction holds 64 KiB at most, or one pipe of 1 MiB.
//! * Bulk passes by `splice(2)` on Linux, small data through one buffer for each thread. An idle connection holds
//!   neither.
//! * Established connections stay where they are, whatever changes, as with kube-proxy; see
//!   [`ForwarderBuilder::drain_removed_after`]. A Service that goes takes its listener with it.
//!
//! # UDP
//!
//! A client (address and port) stays with its endpoint until nothing has passed for a while
//! ([`ForwarderBuilder::udp_idle_timeout`]), or a change makes the flow [stale](crate::StaleFlows). Where nobody
//! listens at the endpoint: in userspace mode, the next datagram has another turn; in the others, it stays until
//! the change arrives, as the kernel's flows do.
//!
//! # Limits
//!
//! Connections and associations are counted, and bounded. At the limit, connections wait in the kernel's queue, and
//! datagrams of new clients are lost. Without descriptors left, accepting pauses and goes on when there are some.

mod bind;
mod builder;
mod clock;
mod dial;
mod error;
mod forwarder;
mod handle;
mod listening;
mod live;
mod settings;
mod shared;
mod tcp;
mod udp;
mod way;
mod worker;

pub use builder::ForwarderBuilder;
pub use dial::{Dialed, Dialer};
pub use error::{BindError, DialError};
pub use forwarder::{DrainStats, Forwarder};
pub use handle::SnapshotHandle;
pub use shared::Stats;
