//! What a forwarder is told before it starts.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{runtime::Handle, sync::Semaphore};

use super::{
    Forwarder, SnapshotHandle,
    settings::Settings,
    shared::{Counts, Shared},
    worker::Worker,
};
use crate::{Snapshot, object::Protocol};

/// What a semaphore can count on every platform.
const MOST: u32 = 1 << 28;

type ListenAt = dyn Fn(Protocol, SocketAddr) -> Option<SocketAddr> + Send + Sync;

/// What a [`Forwarder`] is told before it starts.
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

    /// Where to listen for what is sent to an address of a Service; `None` is nowhere. Port 0 is any free one, for
    /// tests: see [`Forwarder::local_addr`].
    ///
    /// By default that address itself, which the machine then must have: `ip route add local 10.96.0.0/12 dev lo`
    /// gives it all of them, and is best done in a network namespace.
    pub fn listen_at<F>(mut self, at: F) -> Self
    where
        F: Fn(Protocol, SocketAddr) -> Option<SocketAddr> + Send + Sync + 'static,
    {
        self.listen_at = Box::new(at);
        self
    }

    /// How many threads to run on, each with a runtime and listeners of its own, between which the kernel spreads
    /// connections (`SO_REUSEPORT`). 0, the default, is the caller's runtime.
    ///
    /// Own threads carry more connections per second, as no other thread has to be woken. They are of use on Linux;
    /// other systems give all connections to one of several listeners.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// How many TCP connections to carry at once, from 1 to 2^28; 65 536 by default. Further ones wait in the kernel's queue.
    /// Each needs two descriptors.
    pub fn max_connections(mut self, max: u32) -> Self {
        self.settings.max_connections = max.clamp(1, MOST);
        self
    }

    /// How many UDP associations to keep, from 1 to 2^28; 65 536 by default. Datagrams of further clients are lost.
    /// Each needs one descriptor.
    pub fn max_associations(mut self, max: u32) -> Self {
        self.settings.max_associations = max.clamp(1, MOST);
        self
    }

    /// How long to dial, in the modes that dial once; 5 s by default. Userspace mode has
    /// [times of its own](crate::DIAL_TIMEOUTS).
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.connect_timeout = timeout;
        self
    }

    /// How long an association stays when nothing passes, up to a day; 30 s by default, as `nf_conntrack_udp_timeout`.
    /// Userspace kube-proxy had 250 ms (`--udp-timeout`).
    pub fn udp_idle_timeout(mut self, timeout: Duration) -> Self {
        self.settings.udp_idle = timeout.min(Duration::from_secs(86_400));
        self
    }

    /// How long a connection that the rules drop is held, silent, before it is reset; 30 s by default. They count as
    /// connections.
    pub fn drop_timeout(mut self, time: Duration) -> Self {
        self.settings.drop_timeout = time;
        self
    }

    /// Ends connections to an endpoint that its Service no longer has, this long after the change: a client that keeps
    /// connections open gets away from a pod that is gone. By default they go on, as with kube-proxy.
    pub fn drain_removed_after(mut self, time: Duration) -> Self {
        self.settings.drain = Some(time);
        self
    }

    /// After how long without a word from a client to ask whether it is still there; 15 s by default, `None` is never.
    pub fn keepalive(mut self, time: Option<Duration>) -> Self {
        self.settings.keepalive = time;
        self
    }

    /// Whether bulk data pass by `splice(2)`, on Linux; so by default. Without it they are copied.
    ///
    /// `splice(2)` to a connection that has broken raises SIGPIPE, which programs in Rust ignore unless they change it.
    /// Switch it off in a process that does not.
    pub fn splice(mut self, splice: bool) -> Self {
        self.settings.splice = splice;
        self
    }

    /// Starts a forwarder that listens nowhere yet: [`publish`](Forwarder::publish) what the first sync leads to.
    ///
    /// # Errors
    ///
    /// There is no tokio runtime to run on, or threads and runtimes cannot be made.
    pub fn start(self, snapshot: Arc<Snapshot>) -> io::Result<Forwarder> {
        let connections = Arc::new(Semaphore::new(self.settings.max_connections as usize));
        let workers = match self.workers {
            0 => {
                let runtime = Handle::try_current().map_err(|error| {
                    let text = "a forwarder without threads of its own (`workers`) starts within a tokio runtime";
                    io::Error::other(format!("{text}: {error}"))
                })?;
                vec![Worker::here(runtime, connections.clone())]
            }
            n => (0..n).map(|at| Worker::on_thread(at, connections.clone())).collect::<io::Result<_>>()?,
        };
        let shared = Arc::new(Shared {
            published: SnapshotHandle::new(snapshot),
            settings: self.settings,
            stats: Counts::default(),
            connections,
            associations: Arc::new(Semaphore::new(self.settings.max_associations as usize)),
        });
        Ok(Forwarder { shared, listening: Mutex::default(), workers, listen_at: self.listen_at })
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
