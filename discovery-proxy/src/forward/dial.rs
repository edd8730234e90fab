//! Dialling a Service's address from within the process.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{
    DialError, SnapshotHandle,
    settings::Settings,
    tcp::{Connected, Counted, connect},
    way::way,
};
use crate::Flow;
use crate::forward::clock;
use discovery_core::ThreadRng;

/// Dials Services' addresses: the connection goes to the endpoint that the proxy would send it to, straight from this
/// process. No listener, no address to be routed, no NAT.
///
/// What no Service has is dialled as it is.
#[derive(Clone, Debug)]
pub struct Dialer {
    published: SnapshotHandle,
    source: IpAddr,
    timeout: Duration,
}

impl Dialer {
    /// Decides by what is published.
    #[must_use]
    pub fn new(published: SnapshotHandle) -> Self {
        let timeout = Settings::default().connect_timeout;
        Self { published, source: IpAddr::V4(Ipv4Addr::LOCALHOST), timeout }
    }

    /// The address that the rules see as the client's, which session affinity, source ranges and policies go by: the
    /// pod's own, in a pod (`status.podIP`). By default `127.0.0.1`, which is a process on the node.
    #[must_use]
    pub fn with_source(mut self, source: IpAddr) -> Self {
        self.source = source;
        self
    }

    /// How long to dial, in the modes that dial once; 5 s by default. Userspace mode has
    /// [times of its own](crate::DIAL_TIMEOUTS), four attempts of 3.75 s altogether.
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Connects to where TCP to `destination` goes. Cancel-safe: what is being dialled is given up.
    ///
    /// # Errors
    ///
    /// The rules refuse or drop it, or no endpoint that the mode tries can be reached.
    pub async fn dial(&self, destination: SocketAddr) -> Result<Dialed, DialError> {
        // Which port it will be is not known yet, and no rule asks for it.
        let flow = Flow::tcp(SocketAddr::new(self.source, 0), destination);
        let way = way(&self.published.load(), &flow, clock::now(), &mut ThreadRng::new());
        let Connected { stream, endpoint, counted } = connect(way, destination, self.timeout).await?;
        Ok(Dialed { stream, endpoint, _counted: counted })
    }
}

/// A connection to an endpoint, for reading and writing as tokio does it.
#[derive(Debug)]
pub struct Dialed {
    stream: TcpStream,
    endpoint: SocketAddr,
    _counted: Counted,
}

impl Dialed {
    /// Where it leads.
    #[must_use]
    pub const fn endpoint(&self) -> SocketAddr {
        self.endpoint
    }

    /// The own address.
    ///
    /// # Errors
    ///
    /// As the operating system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
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
