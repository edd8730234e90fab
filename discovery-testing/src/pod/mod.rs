mod answer;
mod behavior;
mod counters;
mod serve;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use tokio::{net::TcpListener, time::sleep};

pub(crate) use self::answer::Handler;
use self::{answer::Application, serve::Running};
pub use self::{behavior::Behavior, counters::Counters};

/// Kubernetes' default `terminationGracePeriodSeconds`.
pub(crate) const GRACE: Duration = Duration::from_secs(30);
/// How often a port that is taken is asked for again after a restart, and how long between.
const ATTEMPTS: usize = 100;
const PAUSE: Duration = Duration::from_millis(20);

/// An HTTP server on loopback that plays one pod: HTTP/1.1 and HTTP/2 with prior knowledge, without TLS.
///
/// It answers 200 with its name as the body. Every answer carries `x-pod`, the pod's name, and `x-host`,
/// the `Host` (or `:authority`) of the request. Clones are handles of the same pod;
/// dropping the last one closes everything at once.
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
    running: Mutex<Arc<Running>>,
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

    /// Starts a pod that answers with `handler`, on a free port of 127.0.0.1.
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
        let application = Application::new(name, handler);
        let running = Running::new(listener, application.clone());
        let inner = Inner { addr, application, running: Mutex::new(Arc::new(running)) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.application.name
    }

    /// Address and port. They stay the same after a [`restart`](Self::restart).
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.inner.addr
    }

    /// The address.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.inner.addr.ip()
    }
}

/// How the pod answers.
impl FakePod {
    /// Sets how the pod treats the requests that arrive from now on.
    pub fn set_behavior(&self, behavior: Behavior) {
        self.inner.application.behavior.send_replace(behavior);
    }

    /// The behavior in force.
    #[must_use]
    pub fn behavior(&self) -> Behavior {
        *self.inner.application.behavior.borrow()
    }
}

/// Life and death. Without effect on a pod that is down already.
impl FakePod {
    /// Crashes: connections are cut, new ones are refused. Resolves when the listener is closed.
    pub async fn kill(&self) {
        self.running().kill().await;
    }

    /// The same as [`kill`](Self::kill).
    pub async fn refuse(&self) {
        self.kill().await;
    }

    /// Stops as a well-behaved server does: finishes what is in flight, then closes the listener.
    /// What is left after 30 seconds is cut, as Kubernetes does by default.
    pub async fn stop(&self) {
        self.stop_within(GRACE).await;
    }

    /// Stops as [`stop`](Self::stop) does, with this grace period.
    /// Cancelling it leaves the pod draining; [`kill`](Self::kill) ends that.
    pub async fn stop_within(&self, grace: Duration) {
        self.running().stop(grace).await;
    }

    /// Listens again on the same address and port, after [`kill`](Self::kill) if it is up.
    /// The behaviour and the counters stay.
    ///
    /// # Errors
    ///
    /// If somebody else has taken the port in the meantime, and keeps it for 2 seconds.
    pub async fn restart(&self) -> io::Result<()> {
        self.kill().await;
        let listener = self.rebind().await?;
        let running = Running::new(listener, self.inner.application.clone());
        *self.lock() = Arc::new(running);
        Ok(())
    }

    fn running(&self) -> Arc<Running> {
        Arc::clone(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Running>> {
        self.inner.running.lock().unwrap_or_else(PoisonError::into_inner)
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

/// What it has seen.
impl FakePod {
    /// All counters at one moment.
    #[must_use]
    pub fn counters(&self) -> Counters {
        *self.inner.application.counters.borrow()
    }

    /// Requests received.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.counters().requests
    }

    /// Requests received and not answered yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.counters().in_flight
    }

    /// Connections accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.counters().connections
    }

    /// Resolves when `holds` does for the counters. Cancel-safe.
    ///
    /// Never resolves if it does not come to that: put a time limit around it.
    pub async fn when(&self, mut holds: impl FnMut(&Counters) -> bool) {
        let mut counters = self.inner.application.counters.subscribe();
        // The sender lives in `self`, so this cannot end early.
        let _ = counters.wait_for(|seen| holds(seen)).await;
    }
}
