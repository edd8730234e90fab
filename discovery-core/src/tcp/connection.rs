//! A connection to an endpoint.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::{
    clock,
    endpoint::Endpoint,
    policy::{Outcome, Pick},
};

/// A TCP connection to an endpoint of a target.
///
/// It counts in the load of its endpoint until it is dropped. An I/O error, such as a reset, counts as a failure of the
/// endpoint; a connection that ends in any other way counts as a success.
pub struct Connection {
    stream: TcpStream,
    pick: Pick,
    failed: bool,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, pick: Pick) -> Self {
        pick.loaded_endpoint().load().connected();
        pick.answered();
        Self { stream, pick, failed: false }
    }

    /// The endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        self.pick.endpoint()
    }

    /// The TCP stream, for its addresses and socket options. `TCP_NODELAY` is set.
    #[must_use]
    pub fn get_ref(&self) -> &TcpStream {
        &self.stream
    }

    /// The TCP stream. It does not count in the load of the endpoint any more.
    #[must_use]
    pub fn into_inner(self) -> TcpStream {
        // The pick is dropped with the rest: it has a drop of its own, and `self` has none.
        self.pick.complete(Outcome::Success, clock::now);
        self.stream
    }

    /// Records an error once.
    fn note<T>(&mut self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &polled {
            Poll::Ready(Ok(_)) => self.pick.answered(),
            Poll::Ready(Err(_)) if !self.failed => {
                self.failed = true;
                self.pick.record(Outcome::Failure, clock::now);
            }
            _ => {}
        }
        polled
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.note(polled)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Records nothing: the peer may have closed the connection already, and that is not a failure.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("endpoint", self.endpoint())
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}
