//! The connection, as hyper reads and writes.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use discovery_proxy::forward::Dialed;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};

/// The pod that a response came from: hyper-util's client puts it into the response's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VipEndpoint(SocketAddr);

impl VipEndpoint {
    /// Its address.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.0
    }
}

/// A connection to a pod that a Service's virtual address has led to.
#[derive(Debug)]
pub struct VipStream {
    io: TokioIo<Dialed>,
}

impl VipStream {
    pub(super) fn new(dialed: Dialed) -> Self {
        Self { io: TokioIo::new(dialed) }
    }

    /// The pod.
    #[must_use]
    pub fn endpoint(&self) -> SocketAddr {
        self.io.inner().endpoint()
    }
}

impl Connection for VipStream {
    fn connected(&self) -> Connected {
        Connected::new().extra(VipEndpoint(self.endpoint()))
    }
}

impl Read for VipStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl Write for VipStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
