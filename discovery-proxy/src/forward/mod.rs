//! Forwards traffic to the endpoints that a [`Snapshot`] chooses: a userspace proxy that follows the rules of any mode.
//!
//! [`Forwarder`] listens at Services' addresses. [`Dialer`] needs no listener and dials them from within the process.
//!
//! ```
//! use std::{net::SocketAddr, time::{Duration, Instant}};
//!
//! use discovery_core::policy::SplitMix64;
//! use discovery_proxy::{Config, Mode, Proxier, forward::{Dialer, Forwarder}, object::*};
//! use tokio::{io::{AsyncReadExt, AsyncWriteExt}, net::{TcpListener, TcpStream}};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! // A pod that sends a greeting, and its Service.
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
//! // Listen on loopback instead of the Service's address, which this machine does not have.
//! let listen_at = |_, _| Some(SocketAddr::from(([127, 0, 0, 1], 0)));
//! let forwarder = Forwarder::builder().listen_at(listen_at).start(proxy.snapshot().clone())?;
//! let changes = proxy.sync(Instant::now(), &mut SplitMix64::with_seed(1));
//! assert!(forwarder.publish(&changes).is_empty(), "cannot listen for an address");
//!
//! let service = "10.96.0.10:80".parse()?;
//! let local = forwarder.local_addr(Protocol::Tcp, service).ok_or("no listener")?;
//! let mut greeting = String::new();
//! TcpStream::connect(local).await?.read_to_string(&mut greeting).await?;
//! assert_eq!(greeting, "hello");
//!
//! // Dial without a listener.
//! let mut dialed = Dialer::new(forwarder.snapshot_handle()).dial(service).await?;
//! assert_eq!(dialed.endpoint(), addr);
//! # let mut greeting = String::new();
//! # dialed.read_to_string(&mut greeting).await?;
//! # assert_eq!(greeting, "hello");
//! # drop(dialed);
//!
//! let stats = forwarder.shutdown(Duration::from_secs(5)).await;
//! assert_eq!(stats.connections_cut, 0);
//! # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
//! # }).unwrap();
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What happens for each verdict
//!
//! | verdict | TCP | UDP |
//! |---|---|---|
//! | to an endpoint | dialed: four attempts in userspace mode, each with its own endpoint; one attempt in the others | an association |
//! | rejected for every client | no listener: the kernel refuses the connection | no listener: ICMP error |
//! | rejected for this client | accepted and reset | lost |
//! | rejected in userspace mode | accepted and closed | lost |
//! | dropped | accepted, kept without an answer for 30 s, reset | lost |
//! | not proxied | no listener | no listener |
//!
//! Endpoints see the forwarder's address, as in userspace mode, so the masquerade of a verdict has no effect. SCTP is not
//! carried. Traffic to an unallocated address, which nftables mode drops, is refused by the kernel, because the
//! forwarder does not listen there.
//!
//! # TCP
//!
//! * When one side ends, the end is passed on, and the other side may continue (half-close). When one side resets the
//!   connection, the forwarder resets the other side, so that partial data are not taken for complete data.
//! * A side that does not read stops the other side: a direction holds at most 64 KiB, or one pipe of 1 MiB.
//! * Bulk data are moved by `splice(2)` on Linux, small data through one buffer for each thread. An idle connection holds
//!   neither.
//! * Established connections keep their endpoint whatever changes, as with kube-proxy; see
//!   [`ForwarderBuilder::drain_removed_after`]. The listener of a deleted Service is closed.
//!
//! # UDP
//!
//! A client (address and port) keeps its endpoint until the association has been idle for
//! [`ForwarderBuilder::udp_idle_timeout`], or a change makes the flow [stale](crate::StaleFlows). If the endpoint does not
//! listen, the next datagram gets another endpoint in userspace mode. In the other modes the client keeps its endpoint
//! until a change arrives, like the kernel's flows.
//!
//! # Limits
//!
//! Connections and associations are counted and limited. The limits are clamped when the forwarder starts: an eighth of
//! the descriptors of the process (RLIMIT_NOFILE), and 32 at least, stay for the rest of it. No client can take all:
//!
//! * Once half of a limit is taken, a source address that has a quarter of it gets no more: its connections are reset,
//!   its datagrams lost. Clients behind one address, such as the pods of a node with masquerade, share that quarter.
//! * The last eighth of a limit is for Services that have fewer than 16 connections, or associations.
//! * At the limit, and at the share of its source, the oldest association without a reply gives way to a new one, as in
//!   conntrack. An association with a reply stays until it is idle.
//!
//! Beyond that, at the limit, connections wait in the kernel's queue, and datagrams of new clients are lost. A TCP
//! connection that carries nothing for [`ForwarderBuilder::tcp_idle_timeout`] is reset. When descriptors run out all
//! the same, the forwarder pauses accepting and retries.
//!
//! # What it touches
//!
//! | what | when | by | setting |
//! |---|---|---|---|
//! | listens on the addresses of Services, TCP and UDP | from the first [`Forwarder::publish`] until the forwarder is dropped | [`Forwarder`] | [`ForwarderBuilder::listen_at`] |
//! | connects and sends to their endpoints, TCP and UDP | while there is traffic | [`Forwarder`], [`Dialer`] | |
//! | starts threads | if [`ForwarderBuilder::workers`] is set | [`Forwarder`] | `workers` |
//! | reads the monotonic clock, and entropy once a thread | while there is traffic | both | |

mod bind;
mod builder;
mod clock;
mod descriptors;
mod dial;
mod error;
mod forwarder;
mod handle;
mod listener;
mod shares;
mod stats;
mod tcp;
mod udp;
mod unreplied;
mod worker;

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;

pub use builder::ForwarderBuilder;
pub use dial::{Dialed, Dialer};
pub use error::{BindError, DialError};
pub use forwarder::{DrainStats, Forwarder};
pub use handle::SnapshotHandle;
use shares::Shares;
use stats::Counters;
pub use stats::Stats;
use udp::Association;
use unreplied::Unreplied;

use crate::Snapshot;

/// The state that all tasks of a forwarder share.
#[derive(Debug)]
struct Shared {
    handle: SnapshotHandle,
    settings: Settings,
    counters: Counters,
    connections: Arc<Semaphore>,
    associations: Arc<Semaphore>,
    /// Who has how many of the connections.
    connection_shares: Arc<Shares>,
    /// Who has how many of the associations.
    association_shares: Arc<Shares>,
    unreplied: Unreplied<Association>,
}

impl Shared {
    fn new(snapshot: Arc<Snapshot>, settings: Settings, connections: Arc<Semaphore>) -> Self {
        let associations = Arc::new(Semaphore::new(settings.max_associations as usize));
        let (handle, counters) = (SnapshotHandle::new(snapshot), Counters::default());
        Self {
            handle,
            settings,
            counters,
            connections,
            associations,
            connection_shares: Arc::new(Shares::new(settings.max_connections)),
            association_shares: Arc::new(Shares::new(settings.max_associations)),
            unreplied: Unreplied::default(),
        }
    }

    /// Waits until all connections and associations have ended.
    async fn all_ended(&self) {
        // All permits can be acquired only when all are free. The semaphores are never closed, so this cannot fail.
        let _ = self.connections.acquire_many(self.settings.max_connections).await;
        let _ = self.associations.acquire_many(self.settings.max_associations).await;
    }
}

/// The limits and timeouts, with the reason for each default.
#[derive(Clone, Copy, Debug)]
struct Settings {
    max_connections: u32,
    max_associations: u32,
    connect_timeout: Duration,
    tcp_idle_timeout: Duration,
    udp_idle_timeout: Duration,
    drop_timeout: Duration,
    drain_removed_after: Option<Duration>,
    keepalive: Option<Duration>,
    splice: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            // Each needs two descriptors; `fs.file-max` and `LimitNOFILE` of common systems allow that many.
            max_connections: 65_536,
            // `nf_conntrack_max` of a node with 4 GiB.
            max_associations: 65_536,
            // For the modes that dial once. The kernel itself retries for two minutes; clients give up earlier.
            connect_timeout: Duration::from_secs(5),
            // kube-proxy's `--conntrack-tcp-timeout-established`.
            tcp_idle_timeout: Duration::from_secs(86_400),
            // kube-proxy's `--udp-timeout` was 250 ms, which is too short for a query that a DNS server forwards to its
            // upstream. `nf_conntrack_udp_timeout`, which all later modes use, is 30 s.
            udp_idle_timeout: Duration::from_secs(30),
            // Longer than the connect timeout of most clients.
            drop_timeout: Duration::from_secs(30),
            // kube-proxy does not touch established TCP connections.
            drain_removed_after: None,
            // Go's default for accepted connections: a vanished client is detected after 150 s.
            keepalive: Some(Duration::from_secs(15)),
            splice: true,
        }
    }
}
