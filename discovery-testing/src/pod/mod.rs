//! An HTTP pod on loopback.

mod serve;

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use tokio::{net::TcpListener, sync::watch, time::sleep};

use self::serve::Listening;

/// Kubernetes' default `terminationGracePeriodSeconds`.
pub(crate) const GRACE: Duration = Duration::from_secs(30);
/// How often a restart tries to bind a port that is in use, and the pause between two attempts.
const ATTEMPTS: usize = 100;
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) type Handler = Arc<dyn Fn(Request<Bytes>) -> Response<Bytes> + Send + Sync>;

/// An HTTP server on loopback that acts as a pod: HTTP/1.1, and HTTP/2 with prior knowledge, without TLS.
///
/// It responds 200 with its name as the body. Every response has the header `x-pod`, the pod's name, and `x-host`, the
/// `Host` (or `:authority`) of the request. Clones are handles of the same pod. Dropping the last one closes everything
/// at once.
///
/// ```
/// use discovery_testing::{Behavior, FakePod};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let pod = FakePod::start("web-0").await?;
/// pod.set_behavior(Behavior::Slow(Duration::from_millis(200)));
/// assert!(tokio::net::TcpStream::connect(pod.addr()).await.is_ok());
/// pod.when(|seen| seen.connections == 1).await;
///
/// pod.kill().await;
/// assert!(tokio::net::TcpStream::connect(pod.addr()).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct FakePod {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    addr: SocketAddr,
    application: Application,
    listening: Mutex<Arc<Listening>>,
}

/// Starting.
impl FakePod {
    /// Starts a pod on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// If no port can be bound.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn start(name: &str) -> io::Result<Self> {
        Self::bind(name, (Ipv4Addr::LOCALHOST, 0), None).await
    }

    /// Starts a pod on a free port of 127.0.0.1 that responds with `handler`.
    ///
    /// ```
    /// use discovery_testing::FakePod;
    /// use http::Response;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let echo = FakePod::with_handler("echo-0", |request| Response::new(request.into_body())).await?;
    /// assert_eq!(echo.name(), "echo-0");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If no port can be bound.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn with_handler(
        name: &str,
        handler: impl Fn(Request<Bytes>) -> Response<Bytes> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let handler: Handler = Arc::new(handler);
        Self::bind(name, (Ipv4Addr::LOCALHOST, 0), Some(handler)).await
    }

    pub(crate) async fn bind(name: &str, addr: impl Into<SocketAddr>, handler: Option<Handler>) -> io::Result<Self> {
        let listener = TcpListener::bind(addr.into()).await?;
        let addr = listener.local_addr()?;
        let application = Application {
            name: name.into(),
            behavior: watch::Sender::new(Behavior::default()),
            counters: watch::Sender::new(Counters::default()),
            handler,
        };
        let listening = Listening::new(listener, application.clone());
        let inner = Inner { addr, application, listening: Mutex::new(Arc::new(listening)) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.application.name
    }

    /// Returns address and port. A [`restart`](Self::restart) keeps them.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.inner.addr
    }

    /// Returns the address.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.inner.addr.ip()
    }
}

/// Behavior.
impl FakePod {
    /// Sets how the pod handles requests from now on.
    pub fn set_behavior(&self, behavior: Behavior) {
        self.inner.application.behavior.send_replace(behavior);
    }

    /// Returns the current behavior.
    #[must_use]
    pub fn behavior(&self) -> Behavior {
        *self.inner.application.behavior.borrow()
    }
}

/// Stopping and restarting. Stopping a stopped pod has no effect.
impl FakePod {
    /// Crashes the pod: open connections are cut, and new ones are refused. Resolves when the listener is closed.
    pub async fn kill(&self) {
        self.listening().kill().await;
    }

    /// The same as [`kill`](Self::kill).
    pub async fn refuse(&self) {
        self.kill().await;
    }

    /// Stops gracefully: finishes the requests in flight, then closes the listener. Requests that are left after 30
    /// seconds, the default of Kubernetes, are cut.
    pub async fn stop(&self) {
        self.stop_within(GRACE).await;
    }

    /// Stops like [`stop`](Self::stop), with this grace period. If canceled, the pod keeps draining until
    /// [`kill`](Self::kill).
    pub async fn stop_within(&self, grace: Duration) {
        self.listening().stop(grace).await;
    }

    /// Listens again on the same address and port. A running pod is killed first. Behavior and counters stay.
    ///
    /// # Errors
    ///
    /// If another program took the port in the meantime, and keeps it for 2 seconds.
    pub async fn restart(&self) -> io::Result<()> {
        self.kill().await;
        let listener = self.rebind().await?;
        let listening = Listening::new(listener, self.inner.application.clone());
        *self.lock() = Arc::new(listening);
        Ok(())
    }

    fn listening(&self) -> Arc<Listening> {
        Arc::clone(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Listening>> {
        self.inner.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn rebind(&self) -> io::Result<TcpListener> {
        let mut attempt = 1;
        loop {
            match TcpListener::bind(self.inner.addr).await {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempt < ATTEMPTS => {
                    attempt += 1;
                    sleep(PAUSE).await;
                }
                bound => return bound,
            }
        }
    }
}

/// Counters.
impl FakePod {
    /// Returns all counters at one moment.
    #[must_use]
    pub fn counters(&self) -> Counters {
        *self.inner.application.counters.borrow()
    }

    /// Returns the number of requests received.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.counters().requests
    }

    /// Returns the number of requests without a response yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.counters().in_flight
    }

    /// Returns the number of accepted connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.counters().connections
    }

    /// Resolves when the counters meet a condition. Cancel-safe.
    ///
    /// The call waits without a timeout: wrap it in `tokio::time::timeout`.
    pub async fn when(&self, mut condition: impl FnMut(&Counters) -> bool) {
        let mut counters = self.inner.application.counters.subscribe();
        // `self` holds the sender, so the channel is not closed.
        let _ = counters.wait_for(|seen| condition(seen)).await;
    }
}

/// How a [`FakePod`] handles requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Behavior {
    /// Responds at once.
    #[default]
    Healthy,
    /// Responds after this delay.
    Slow(Duration),
    /// Responds with this status at once, without calling the handler.
    Failing(StatusCode),
    /// Reads requests, and never responds. These requests stay open until the pod is killed.
    Hanging,
}

/// The counters of a [`FakePod`] since its first start. A restart does not reset them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Connections accepted.
    pub connections: usize,
    /// Connections open now.
    pub open: usize,
    /// Requests received.
    pub requests: usize,
    /// Requests without a response yet.
    pub in_flight: usize,
    /// Requests with a response, whatever its status. A request that its client canceled is not counted.
    pub served: usize,
}

/// The state that all connections of a pod share.
#[derive(Clone)]
struct Application {
    name: Arc<str>,
    behavior: watch::Sender<Behavior>,
    counters: watch::Sender<Counters>,
    handler: Option<Handler>,
}

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Application")
            .field("name", &self.name)
            .field("behavior", &*self.behavior.borrow())
            .field("counters", &*self.counters.borrow())
            .finish_non_exhaustive()
    }
}
