//! The connector of one endpoint.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use discovery_core::{endpoint::Endpoint, tcp::connect_to_first};
use http::Uri;
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tower::Service;

use crate::{ConnectError, in_flight::now};

/// How long an endpoint has to accept a connection, unless set otherwise. Pods of one cluster answer a SYN within
/// milliseconds, and the kernel sends a lost one again after 1 s (RFC 6298).
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long requests fail at once after a connection that nothing answered. HTTP/2 clients open one connection at a time:
/// without this, requests that waited for it together would each wait for a connection of their own, one after the other.
const SILENCE_REMEMBERED: Duration = Duration::from_millis(250);

/// How long the kernel waits for the acknowledgment of data before it gives a connection up (TCP_USER_TIMEOUT, RFC 5482).
/// It is what finds dead connections of HTTP/1.1. Not shorter: a pod that pauses an upload with a closed window for so long
/// would lose the connection.
#[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);

/// Connects over TCP to one endpoint, whatever the URI says: a service of URIs, as hyper-util's client and TLS connectors
/// expect it. The URI keeps the name of the Service, so a TLS connector around this one sends the right SNI and checks the
/// right name.
///
/// An endpoint with several addresses is one backend: they are raced (RFC 8305). `TCP_NODELAY` is set, and on Linux
/// `TCP_USER_TIMEOUT` of 30 s. Cheap to clone.
#[derive(Clone)]
pub struct EndpointConnector {
    addrs: Arc<[SocketAddr]>,
    timeout: Duration,
    keepalive: Option<TcpKeepalive>,
    /// When nothing answered the last time.
    silent_at: Arc<Mutex<Option<Instant>>>,
}

impl EndpointConnector {
    /// Connects to `endpoint`. `default_port` stands for a port of 0, which an endpoint has for which no source says a
    /// port.
    #[must_use]
    pub fn new(endpoint: &Endpoint, default_port: u16) -> Self {
        let port = |addr: SocketAddr| if addr.port() == 0 { default_port } else { addr.port() };
        let addrs = endpoint.addrs().map(|addr| SocketAddr::new(addr.ip(), port(addr))).collect();
        Self { addrs, timeout: CONNECT_TIMEOUT, keepalive: None, silent_at: Arc::default() }
    }

    /// Sets how long the endpoint has to accept a connection; 1 s by default. TLS is not included.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how long a connection may be idle before the kernel probes it; without TCP keep-alive by default.
    #[must_use]
    pub fn with_tcp_keepalive(mut self, idle: Duration) -> Self {
        self.keepalive = Some(TcpKeepalive::new().with_time(idle));
        self
    }

    async fn connect(self) -> Result<TokioIo<TcpStream>, ConnectError> {
        if self.was_silent() {
            return Err(self.error(io::ErrorKind::TimedOut, "did not answer another connection"));
        }
        match tokio::time::timeout(self.timeout, connect_to_first(self.addrs.iter().copied())).await {
            Ok(Ok(stream)) => {
                self.configure(&stream);
                Ok(TokioIo::new(stream))
            }
            Ok(Err(error)) => Err(self.error(error.kind(), &error.to_string())),
            Err(_) => {
                *self.silent_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(now());
                Err(self.error(io::ErrorKind::TimedOut, &format!("no answer within {:?}", self.timeout)))
            }
        }
    }

    fn was_silent(&self) -> bool {
        let silent_at = *self.silent_at.lock().unwrap_or_else(PoisonError::into_inner);
        silent_at.is_some_and(|at| now().saturating_duration_since(at) < SILENCE_REMEMBERED)
    }

    /// The connection works without these options, too.
    fn configure(&self, stream: &TcpStream) {
        let _ = stream.set_nodelay(true);
        let socket = SockRef::from(stream);
        #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
        let _ = socket.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT));
        if let Some(keepalive) = &self.keepalive {
            let _ = socket.set_tcp_keepalive(keepalive);
        }
    }

    fn error(&self, kind: io::ErrorKind, text: &str) -> ConnectError {
        let text = match &*self.addrs {
            [] => "it has no address".to_owned(),
            [addr] => format!("{addr}: {text}"),
            [addr, others @ ..] => format!("{addr} and {} other addresses: {text}", others.len()),
        };
        ConnectError::new(io::Error::new(kind, text))
    }
}

impl Service<Uri> for EndpointConnector {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectError>> + Send>>;

    /// Always ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    /// Cancel-safe: dropping the future closes a connection that is being established.
    fn call(&mut self, _: Uri) -> Self::Future {
        Box::pin(self.clone().connect())
    }
}

impl fmt::Debug for EndpointConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointConnector").field("addrs", &self.addrs).finish_non_exhaustive()
    }
}
