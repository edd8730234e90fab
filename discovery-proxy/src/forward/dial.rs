//! From a flow to a connection to its endpoint: the decision, the connect attempts, and the dialer for this process.

use std::{
    future::poll_fn,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpSocket, TcpStream},
};

use super::{DialError, Settings, SnapshotHandle, clock};
use crate::{Action, Connection, DialAttempts, Flow, Snapshot};
use discovery_core::{ThreadRng, policy::Rng};

/// Dials Services' addresses from within this process.
///
/// The connection goes straight to the endpoint that the proxy would choose: it needs no listener, no route to the
/// address, and no NAT. An address that no Service has is dialed as it is.
#[derive(Clone, Debug)]
pub struct Dialer {
    handle: SnapshotHandle,
    source: IpAddr,
    connect_timeout: Duration,
}

impl Dialer {
    /// Creates a dialer that decides by the snapshot in `handle`.
    #[must_use]
    pub fn new(handle: SnapshotHandle) -> Self {
        let connect_timeout = Settings::default().connect_timeout;
        Self { handle, source: IpAddr::V4(Ipv4Addr::LOCALHOST), connect_timeout }
    }

    /// Sets the client address that session affinity, source ranges and policies see.
    ///
    /// In a pod, set the pod's own address (`status.podIP`). The default is `127.0.0.1`, a process on the node.
    #[must_use]
    pub fn with_source(mut self, source: IpAddr) -> Self {
        self.source = source;
        self
    }

    /// Sets the connect timeout in the modes that dial once; 5 s by default. Userspace mode makes four attempts with
    /// [its own timeouts](crate::DIAL_TIMEOUTS), 3.75 s in total.
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Connects to the endpoint that TCP to `destination` goes to. Cancel-safe: dropping the future abandons the
    /// attempt.
    ///
    /// # Errors
    ///
    /// Fails if the rules reject or drop the flow, or if no endpoint that the mode tries can be reached.
    pub async fn dial(&self, destination: SocketAddr) -> Result<Dialed, DialError> {
        // The source port is not known yet, and no rule reads it.
        let flow = Flow::tcp(SocketAddr::new(self.source, 0), destination);
        let decision = decide_connection(&self.handle.load(), &flow, clock::now(), &mut ThreadRng::new());
        connect(decision, flow.destination, self.connect_timeout).await
    }
}

/// A connection to an endpoint, which implements tokio's `AsyncRead` and `AsyncWrite`.
#[derive(Debug)]
pub struct Dialed {
    stream: TcpStream,
    endpoint: SocketAddr,
    counted: CountedConnection,
}

impl Dialed {
    /// Returns the address of the endpoint.
    #[must_use]
    pub const fn endpoint(&self) -> SocketAddr {
        self.endpoint
    }

    /// Returns the local address of the connection.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    pub(super) fn into_parts(self) -> (TcpStream, CountedConnection) {
        (self.stream, self.counted)
    }
}

impl AsyncRead for Dialed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Dialed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The connection that IPVS counts, if any. Dropping it reports the time of its end, from which affinity is measured.
#[derive(Debug, Default)]
pub(super) struct CountedConnection(Option<Box<Connection>>);

impl CountedConnection {
    /// Reports that one side has sent its last data.
    pub(super) fn finish(&mut self) {
        if let Some(connection) = &mut self.0 {
            connection.finish();
        }
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            connection.close(clock::now());
        }
    }
}

/// What to do with a flow.
#[derive(Debug)]
pub(super) enum Decision {
    /// Userspace mode: make up to four attempts, each with its own endpoint and timeout.
    Attempts(DialAttempts),
    /// The other modes: dial one endpoint. IPVS counts the connection.
    Endpoint(SocketAddr, Option<Box<Connection>>),
    /// Reject the flow, so that the client gets an error at once.
    Reject,
    /// Drop the flow, so that the client times out.
    Drop,
    /// No Service has the destination.
    Untouched,
}

/// Decides a TCP connection.
pub(super) fn decide_connection(snapshot: &Snapshot, flow: &Flow<'_>, now: Instant, rng: &mut dyn Rng) -> Decision {
    match snapshot.dial_attempts(flow) {
        Some(attempts) => Decision::Attempts(attempts),
        None => decide_datagram(snapshot, flow, now, rng),
    }
}

/// Decides a datagram. UDP has no connect that could fail, so userspace mode makes a single attempt as well.
pub(super) fn decide_datagram(snapshot: &Snapshot, flow: &Flow<'_>, now: Instant, rng: &mut dyn Rng) -> Decision {
    let verdict = snapshot.decide(flow, now, rng);
    match verdict.action {
        Action::Endpoint { addr, .. } => Decision::Endpoint(addr, verdict.open(flow).map(Box::new)),
        Action::Reject => Decision::Reject,
        Action::Drop => Decision::Drop,
        Action::Untouched => Decision::Untouched,
    }
}

/// Carries out the decision for a TCP connection. Cancel-safe: dropping the future abandons the attempt.
pub(super) async fn connect(
    decision: Decision,
    destination: SocketAddr,
    timeout: Duration,
) -> Result<Dialed, DialError> {
    let (endpoint, counted) = match decision {
        Decision::Attempts(attempts) => return connect_attempts(attempts, destination).await,
        Decision::Endpoint(endpoint, connection) => (endpoint, CountedConnection(connection)),
        Decision::Untouched => (destination, CountedConnection::default()),
        Decision::Reject => return Err(DialError::refused(destination)),
        Decision::Drop => return Err(DialError::dropped(destination)),
    };
    match connect_endpoint(endpoint, timeout).await {
        Ok(stream) => Ok(Dialed { stream, endpoint, counted }),
        Err(error) => Err(DialError::failed(destination, 1, endpoint, error)),
    }
}

/// `TryConnectEndpoints`, k/k pkg/proxy/userspace/proxysocket.go. When descriptors run out, upstream panics; here the
/// connection fails.
async fn connect_attempts(mut attempts: DialAttempts, destination: SocketAddr) -> Result<Dialed, DialError> {
    let mut last_error = DialError::refused(destination);
    let mut made = 0;
    while let Some(attempt) = attempts.attempt(clock::now()) {
        made += 1;
        let endpoint = attempt.addr;
        match connect_endpoint(endpoint, attempt.timeout).await {
            Ok(stream) => return Ok(Dialed { stream, endpoint, counted: CountedConnection::default() }),
            Err(error) => last_error = DialError::failed(destination, made, endpoint, error),
        }
    }
    Err(last_error)
}

async fn connect_endpoint(addr: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_nodelay(true)?;
    let mut connecting = pin!(socket.connect(addr));
    // An endpoint on this node answers within one turn of the reactor. That is not worth a timer, which would wake the
    // reactor once more.
    for _ in 0..2 {
        if let Poll::Ready(connected) = poll_fn(|cx| Poll::Ready(connecting.as_mut().poll(cx))).await {
            return connected;
        }
        tokio::task::yield_now().await;
    }
    match tokio::time::timeout(timeout, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("connect timed out after {timeout:?}"))),
    }
}
