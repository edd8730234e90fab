//! Connections of any connector behind one type.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tower::{
    Service, ServiceExt,
    util::{BoxCloneSyncService, service_fn},
};

use crate::ConnectError;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A connector of an endpoint's client, so that the type of the client does not depend on it.
pub(super) type Dial = BoxCloneSyncService<Uri, BoxedIo, BoxError>;

/// How long connecting may take, TLS included: a pod that is short of CPU needs some seconds for a handshake, and one that
/// accepts connections and is silent has to be given up.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);

pub(super) fn dial<C>(connector: C) -> Dial
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: Read + Write + Connection + Send + Unpin + 'static,
    C::Error: Into<BoxError>,
    C::Future: Send + 'static,
{
    BoxCloneSyncService::new(service_fn(move |uri| {
        let connected = connector.clone().oneshot(uri);
        async move {
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, connected).await {
                Ok(connected) => connected.map(|io| BoxedIo(Box::new(io))).map_err(Into::into),
                Err(_) => {
                    let text = format!("no connection within {HANDSHAKE_TIMEOUT:?}");
                    Err(ConnectError::new(io::Error::new(io::ErrorKind::TimedOut, text)).into())
                }
            }
        }
    }))
}

/// A connection.
pub(super) struct BoxedIo(Box<dyn Io>);

trait Io: Read + Write + Connection + Send + Unpin {}

impl<T: Read + Write + Connection + Send + Unpin> Io for T {}

impl Connection for BoxedIo {
    fn connected(&self) -> Connected {
        self.0.connected()
    }
}

impl Read for BoxedIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for BoxedIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
