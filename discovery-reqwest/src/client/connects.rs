//! What is known about the connections to one endpoint that are being established.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use discovery_core::{Upstream, policy::LoadedEndpoint};
use tokio::runtime::Handle;

use super::{BoxError, now};

/// How the endpoints of one target are connected to.
pub(super) struct Dialing {
    upstream: Upstream,
    times: ConnectTimes,
    /// The port of the target's URL, for endpoints without one of their own.
    port: u16,
    connect_timeout: Duration,
    /// Connections go to the endpoints themselves, so a probe may do the same. With a proxy they do not.
    is_direct: bool,
}

impl Dialing {
    pub(super) fn new(upstream: Upstream, port: u16, connect_timeout: Duration, is_direct: bool) -> Self {
        Self { upstream, times: ConnectTimes::default(), port, connect_timeout, is_direct }
    }
}

/// The connections of one endpoint.
pub(super) struct Connects {
    dialing: Arc<Dialing>,
    /// One of them goes on although its request has given it up.
    goes_on: AtomicBool,
    /// The endpoint while it counts as unreachable.
    unreachable: Mutex<Option<Arc<LoadedEndpoint>>>,
}

impl Connects {
    pub(super) fn new(dialing: Arc<Dialing>) -> Self {
        Self { dialing, goes_on: AtomicBool::new(false), unreachable: Mutex::default() }
    }

    /// How long a request waits for a connection before it goes to another endpoint.
    pub(super) fn patience(&self) -> Duration {
        self.dialing.times.patience()
    }

    /// How long a connection must have taken for a request that its caller gave up to say that the endpoint is
    /// unreachable.
    pub(super) fn suspicious(&self) -> Duration {
        self.dialing.times.suspicious()
    }

    /// A connection was established that was `begun` then.
    pub(super) fn connected(&self, begun: Instant) {
        self.dialing.times.record(now().saturating_duration_since(begun));
        if let Some(endpoint) = self.unreachable().take() {
            endpoint.load().connected();
        }
    }

    /// Requests cannot connect to the endpoint, which was reported with their picks: a connection in the background
    /// finds out when it comes back.
    pub(super) fn watch(&self, endpoint: &Arc<LoadedEndpoint>) {
        *self.unreachable() = Some(endpoint.clone());
        let Dialing { upstream, port, connect_timeout, is_direct, .. } = &*self.dialing;
        if *is_direct {
            upstream.probe(endpoint, *port, *connect_timeout);
        }
    }

    /// Continues a connection that its request has given up, unless it has just begun. At most one of each endpoint.
    pub(super) fn go_on<T>(
        self: Arc<Self>,
        work: impl Future<Output = Result<T, BoxError>> + Send + 'static,
        begun: Instant,
    ) where
        T: Send + 'static,
    {
        let waited = now().saturating_duration_since(begun);
        if waited < self.suspicious() || self.goes_on.swap(true, Relaxed) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let timeout = self.dialing.connect_timeout.saturating_sub(waited);
        runtime.spawn(async move {
            if let Ok(Ok(_)) = tokio::time::timeout(timeout, work).await {
                self.connected(begun);
            }
            self.goes_on.store(false, Relaxed);
        });
    }

    fn unreachable(&self) -> MutexGuard<'_, Option<Arc<LoadedEndpoint>>> {
        self.unreachable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long connections to the endpoints of a target take.
#[derive(Debug, Default)]
struct ConnectTimes {
    /// The moving mean in microseconds; 0 before the first connection.
    mean: AtomicU32,
}

impl ConnectTimes {
    fn record(&self, took: Duration) {
        let took = u32::try_from(took.as_micros()).unwrap_or(u32::MAX).max(1);
        let _ = self.mean.fetch_update(Relaxed, Relaxed, |mean| match mean {
            0 => Some(took),
            // One lost packet must not make all requests patient.
            mean => Some(((u64::from(mean) * 3 + u64::from(took).min(u64::from(mean) * 4)) / 4).max(1) as u32),
        });
    }

    fn mean(&self) -> Duration {
        Duration::from_micros(self.mean.load(Relaxed).into())
    }

    fn patience(&self) -> Duration {
        (self.mean() * 3).clamp(PATIENCE, PATIENCE_MAX)
    }

    fn suspicious(&self) -> Duration {
        match self.mean() {
            Duration::ZERO => SUSPICIOUS,
            mean => (mean * 4).clamp(SUSPICIOUS_MIN, PATIENCE_MAX),
        }
    }
}

/// The connection attempt delay of RFC 8305, section 5: longer than a round trip within a continent.
const PATIENCE: Duration = Duration::from_millis(250);

/// A slow network alone does not lose three SYN packets in a row.
const PATIENCE_MAX: Duration = Duration::from_secs(3);

/// While no connection was established yet: a TLS handshake over a long distance may take as long.
const SUSPICIOUS: Duration = Duration::from_millis(100);

/// Below that, the client's own scheduling may be the reason.
const SUSPICIOUS_MIN: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_follows_the_connect_times_of_the_fleet() {
        let times = ConnectTimes::default();
        assert_eq!((times.patience(), times.suspicious()), (PATIENCE, SUSPICIOUS));
        times.record(Duration::from_millis(1));
        assert_eq!((times.patience(), times.suspicious()), (PATIENCE, SUSPICIOUS_MIN));
        times.record(Duration::from_secs(3));
        assert_eq!(times.patience(), PATIENCE, "one slow connection changes little");
        let far = ConnectTimes::default();
        (0..4).for_each(|_| far.record(Duration::from_millis(300)));
        assert_eq!((far.patience(), far.suspicious()), (Duration::from_millis(900), Duration::from_millis(1_200)));
        (0..40).for_each(|_| far.record(Duration::from_secs(5_000)));
        assert_eq!(far.patience(), PATIENCE_MAX);
    }
}
