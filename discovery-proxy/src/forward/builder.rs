//! Configures and starts a forwarder.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{runtime::Handle, sync::Semaphore};

use super::{Forwarder, Settings, Shared, descriptors, worker::Worker};
use crate::{Snapshot, object::Protocol};

/// The highest limit: a semaphore can count this far on every platform.
const MAX_LIMIT: u32 = 1 << 28;

/// Maps an address of a Service to the address to listen at.
pub(super) type ListenAt = dyn Fn(Protocol, SocketAddr) -> Option<SocketAddr> + Send + Sync;

/// Configures and starts a [`Forwarder`].
#[must_use]
pub struct ForwarderBuilder {
    settings: Settings,
    workers: usize,
    listen_at: Box<ListenAt>,
}

impl ForwarderBuilder {
    pub(super) fn new() -> Self {
        Self { settings: Settings::default(), workers: 0, listen_at: Box::new(|_, destination| Some(destination)) }
    }

    /// Sets where to listen for traffic to an address of a Service; `None` does not listen for it. Port 0 picks a free
    /// port, which [`Forwarder::local_addr`] returns.
    ///
    /// The default is the Service's address itself, which the machine must then have. To make a whole range local, run
    /// `ip route add local 10.96.0.0/12 dev lo`, best in a network namespace of its own.
    pub fn listen_at<F>(mut self, at: F) -> Self
    where
        F: Fn(Protocol, SocketAddr) -> Option<SocketAddr> + Send + Sync + 'static,
    {
        self.listen_at = Box::new(at);
        self
    }

    /// Sets how many threads to start. Each has its own runtime and listeners, and the kernel spreads connections between
    /// them (`SO_REUSEPORT`). With 0, the default, the forwarder runs on the caller's runtime.
    ///
    /// Threads of its own carry more connections per second, because no other thread has to be woken. They help on Linux
    /// only: other systems give all connections to one of several listeners.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Limits the TCP connections carried at once, from 1 to 2^28; 65 536 by default. Further connections wait in the
    /// kernel's queue. Each connection needs two descriptors, and the limit is lower where the process has too few: see
    /// [Limits](crate::forward#limits).
    pub fn max_connections(mut self, max: u32) -> Self {
        self.settings.max_connections = max.clamp(1, MAX_LIMIT);
        self
    }

    /// Limits the UDP associations, from 1 to 2^28; 65 536 by default. Each needs one
    /// descriptor, and the limit is lower where the process has too few: see [Limits](crate::forward#limits).
    pub fn max_associations(mut self, max: u32) -> Self {
        self.settings.max_associations = max.clamp(1, MAX_LIMIT);
        self
    }

    /// Sets the connect timeout in the modes that dial once; 5 s by default. Userspace mode has
    /// [its own timeouts](crate::DIAL_TIMEOUTS).
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.connect_timeout = timeout;
        self
    }

    /// Sets how long a TCP connection may carry nothing, in either direction, before it is reset; from a millisecond to
    /// a year. The default is 24 h, like kube-proxy's `--conntrack-tcp-timeout-established`. Keepalive probes are not
    /// data.
    pub fn tcp_idle_timeout(mut self, timeout: Duration) -> Self {
        self.settings.tcp_idle_timeout = timeout.clamp(Duration::from_millis(1), Duration::from_secs(365 * 86_400));
        self
    }

    /// Sets how long an idle UDP association is kept, up to a day; 30 s by default, like `nf_conntrack_udp_timeout`.
    /// Userspace kube-proxy used 250 ms (`--udp-timeout`).
    pub fn udp_idle_timeout(mut self, timeout: Duration) -> Self {
        self.settings.udp_idle_timeout = timeout.min(Duration::from_secs(86_400));
        self
    }

    /// Sets how long a connection that the rules drop is kept without an answer before it is reset; 30 s by default.
    /// Dropped connections count towards the connection limit.
    pub fn drop_timeout(mut self, timeout: Duration) -> Self {
        self.settings.drop_timeout = timeout;
        self
    }

    /// Ends the connections to an endpoint that its Service no longer has, this long after the change. That moves clients
    /// with long-lived connections away from a removed pod. By default the connections continue, as with kube-proxy.
    pub fn drain_removed_after(mut self, delay: Duration) -> Self {
        self.settings.drain_removed_after = Some(delay);
        self
    }

    /// Sets after how much idle time TCP keepalive probes a client; 15 s by default. `None` switches keepalive off.
    pub fn keepalive(mut self, idle: Option<Duration>) -> Self {
        self.settings.keepalive = idle;
        self
    }

    /// Sets whether bulk data are moved by `splice(2)`, on Linux; on by default. Without it they are copied.
    ///
    /// `splice(2)` to a broken connection raises SIGPIPE. Rust programs ignore SIGPIPE by default; switch `splice` off in
    /// a process that does not.
    pub fn splice(mut self, splice: bool) -> Self {
        self.settings.splice = splice;
        self
    }

    /// Starts a forwarder that does not listen yet: [`publish`](Forwarder::publish) the changes of the first sync to it.
    ///
    /// # Errors
    ///
    /// Fails without [`workers`](Self::workers) when it is called outside of a Tokio runtime, and with workers when a
    /// thread or runtime cannot be created.
    pub fn start(mut self, snapshot: Arc<Snapshot>) -> io::Result<Forwarder> {
        let (connections, associations) = (self.settings.max_connections, self.settings.max_associations);
        (self.settings.max_connections, self.settings.max_associations) =
            descriptors::clamp(descriptors::limit(), connections, associations);
        let connections = Arc::new(Semaphore::new(self.settings.max_connections as usize));
        let workers = match self.workers {
            0 => {
                let runtime = Handle::try_current().map_err(|error| {
                    let text = "cannot start the forwarder: call `start` from within a Tokio runtime, or set `workers`";
                    io::Error::other(format!("{text}: {error}"))
                })?;
                vec![Worker::on_runtime(runtime, connections.clone())]
            }
            n => (0..n).map(|index| Worker::on_thread(index, connections.clone())).collect::<io::Result<_>>()?,
        };
        let shared = Arc::new(Shared::new(snapshot, self.settings, connections));
        Ok(Forwarder::new(shared, workers, self.listen_at))
    }
}

impl fmt::Debug for ForwarderBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwarderBuilder")
            .field("settings", &self.settings)
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}
