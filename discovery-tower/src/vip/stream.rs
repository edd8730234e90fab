//! A connection to a pod, with the I/O traits of hyper.

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

/// The pod that sent a response. hyper-util's client puts this value into the extensions of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VipEndpoint(SocketAddr);

impl VipEndpoint {
    /// The address of the pod.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.0
    }
}

/// A connection to the pod that was chosen for a virtual address.
#[derive(Debug)]
pub struct VipStream {
    io: TokioIo<Dialed>,
}

impl VipStream {
    pub(super) fn new(dialed: Dialed) -> Self {
        Self { io: TokioIo::new(dialed) }
    }

    /// The address of the pod.
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
