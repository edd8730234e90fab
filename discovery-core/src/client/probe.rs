//! Connects in the background to endpoints that are unreachable, so that no request has to find out.

use std::{
    net::SocketAddr,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{net::TcpStream, runtime::Handle};

use super::{state::TargetState, upstream::Upstream};
use crate::{
    clock, entropy,
    policy::{BACKOFF_MAX, LoadedEndpoint, Probing, Reachability, backoff},
};

impl Upstream {
    /// Opens TCP connections to an [unreachable](Reachability::Unreachable) endpoint in the background until one is
    /// established, and closes that connection. The endpoint is usable again then.
    ///
    /// `unreachable` is [`Pick::loaded_endpoint`](crate::policy::Pick::loaded_endpoint) of a request that could not
    /// connect. Call this when requests use TCP and connect to the addresses of the endpoint themselves, not through a
    /// proxy. `default_port` stands for a port of 0, and each connection may take `connect_timeout`.
    ///
    /// The pause before a connection is 0.25 s and doubles with each failure, by up to a quarter more or less: to 10 s
    /// while connections are refused, and to 1.5 s while nothing answers, because such a connection waits long enough
    /// by itself. While the endpoint is probed, no request is sent to it to find out. At most one connection per
    /// endpoint and 16 per target are under way. The task ends when the endpoint is usable or has left the set, or when
    /// the last handle to the upstream is dropped. Outside of a Tokio runtime, nothing happens.
    pub fn probe(&self, unreachable: &Arc<LoadedEndpoint>, default_port: u16, connect_timeout: Duration) {
        let load = unreachable.load();
        if load.reachability() != Reachability::Unreachable {
            return;
        }
        let (Ok(runtime), Some(probing)) = (Handle::try_current(), load.begin_probing(clock::now())) else { return };
        let probe =
            Probe { endpoint: unreachable.clone(), state: Arc::downgrade(self.state()), default_port, connect_timeout };
        runtime.spawn(probe.run(probing));
    }
}

struct Probe {
    endpoint: Arc<LoadedEndpoint>,
    state: Weak<TargetState>,
    default_port: u16,
    connect_timeout: Duration,
}

impl Probe {
    async fn run(self, probing: Probing) {
        let (mut failures, mut pause_max) = (0_u32, BACKOFF_MAX);
        loop {
            let jitter = 0.75 + entropy::unit() / 2.0;
            tokio::time::sleep(backoff(failures, pause_max).mul_f64(jitter)).await;
            probing.go_on(clock::now());
            let Some(places) = self.places() else { return };
            // Never an error: the semaphore is not closed.
            let _place = loop {
                match tokio::time::timeout(SIGN_OF_LIFE, places.acquire()).await {
                    Ok(place) => break place,
                    Err(_) => probing.go_on(clock::now()),
                }
            };
            if self.places().is_none() {
                return;
            }
            match self.connect().await {
                Connected::Yes => {
                    probing.load().connected();
                    tracing::debug!(endpoint = %self.endpoint.identity(), "an unreachable endpoint is reachable again");
                    return;
                }
                Connected::Refused => pause_max = BACKOFF_MAX,
                Connected::Silent => pause_max = SILENT_BACKOFF_MAX,
            }
            failures = failures.saturating_add(1);
        }
    }

    /// What bounds the connections under way; `None` if the probe is not needed any more.
    fn places(&self) -> Option<Arc<tokio::sync::Semaphore>> {
        let state = self.state.upgrade()?;
        let published = state.load();
        let known = published.set().get_by_identity(self.endpoint.identity())?;
        let is_same = known.addrs().eq(self.endpoint.endpoint().addrs());
        let is_needed = is_same && self.endpoint.reachability() == Reachability::Unreachable;
        is_needed.then(|| state.probes().clone())
    }

    /// Connects to one address of the endpoint after the other.
    async fn connect(&self) -> Connected {
        let port = |addr: SocketAddr| if addr.port() == 0 { self.default_port } else { addr.port() };
        let mut connected = Connected::Refused;
        for addr in self.endpoint.endpoint().addrs() {
            let addr = SocketAddr::new(addr.ip(), port(addr));
            match tokio::time::timeout(self.connect_timeout, TcpStream::connect(addr)).await {
                Ok(Ok(_)) => return Connected::Yes,
                Ok(Err(_)) => {}
                Err(_) => connected = Connected::Silent,
            }
        }
        connected
    }
}

enum Connected {
    Yes,
    Refused,
    Silent,
}

/// The time between two signs of life of a probe that waits for a place.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// How many connections of one target are probed at once: enough for a zone that comes back, and few descriptors.
pub(super) const PROBES: usize = 16;

/// The longest pause after a probe that nothing answered. A network that heals gives no other sign, and requests crowd
/// at the endpoints that are left meanwhile. A refused connection costs the pod more, and means that no process
/// listens.
const SILENT_BACKOFF_MAX: Duration = Duration::from_millis(1_500);
