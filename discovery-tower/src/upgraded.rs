//! A request is in flight until the connection that it upgraded has ended.

use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use discovery_core::policy::Outcome;
use http::{Extensions, Response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::in_flight::InFlight;

/// Waits for the connection of a response that switched protocols: 101 over HTTP/1.1, or a successful CONNECT.
///
/// The connection keeps the request of [`Balance`](crate::Balance) in flight until it has ended or been dropped: see
/// [`InFlightIo`], which has tokio's I/O traits; a `TokioIo` around it has hyper's. Use this function instead of
/// `hyper::upgrade::on`, after which the request is no longer in flight.
/// A response that `Balance` did not return works as well, and counts nowhere.
///
/// # Errors
/// If the response switched no protocol, or the connection broke before it was handed over.
///
/// # Cancel safety
/// Dropping the future closes the connection.
pub async fn upgrade<B>(mut response: Response<B>) -> Result<InFlightIo<TokioIo<Upgraded>>, hyper::Error> {
    let request = InFlight::take(response.extensions_mut());
    let upgrade = hyper::upgrade::on(response);
    InFlightIo::when(async { upgrade.await.map(TokioIo::new) }, request).await
}

/// The request of a response that switched protocols, as an extension of the response. It ends with the last clone, unless
/// it is taken out.
#[derive(Clone)]
struct Held(Arc<Mutex<Option<InFlight>>>);

impl InFlight {
    /// Leaves the request with a response that switches protocols, which has hyper's [`OnUpgrade`] among its `extensions`.
    /// [`take`](Self::take) returns the request to the caller that uses the connection, and otherwise the request ends with
    /// the response. Returns the request of any other response.
    #[must_use = "the request of a response that switches no protocol"]
    pub fn hold(self, extensions: &mut Extensions) -> Option<Self> {
        if extensions.get::<OnUpgrade>().is_none() {
            return Some(self);
        }
        extensions.insert(Held(Arc::new(Mutex::new(Some(self)))));
        None
    }

    /// The request that [`hold`](Self::hold) left with a response.
    #[must_use]
    pub fn take(extensions: &mut Extensions) -> Option<Self> {
        let Held(request) = extensions.remove()?;
        let mut request = request.lock().unwrap_or_else(PoisonError::into_inner);
        request.take()
    }
}

pin_project! {
    /// A connection that keeps a request in flight until the connection has ended or been dropped.
    ///
    /// A connection has ended when the endpoint closes it, in whichever direction data may still flow (RFC 9110, section
    /// 9.3.6, says so of tunnels). An I/O error counts as a failure of the endpoint.
    pub struct InFlightIo<T> {
        #[pin]
        io: T,
        request: Option<InFlight>,
    }
}

impl<T> InFlightIo<T> {
    /// Waits for `upgrade`, the connection that `request` led to. A connection that broke before it was handed over is a
    /// failure of the endpoint.
    ///
    /// # Errors
    /// The error of `upgrade`.
    ///
    /// # Cancel safety
    /// Dropping the future drops `upgrade`, and ends the request.
    pub async fn when<E>(upgrade: impl Future<Output = Result<T, E>>, request: Option<InFlight>) -> Result<Self, E> {
        let mut request = request;
        match upgrade.await {
            Ok(io) => Ok(Self { io, request }),
            Err(error) => {
                if let Some(request) = &mut request {
                    request.record(Outcome::Failure);
                }
                Err(error)
            }
        }
    }

    /// The connection, for what it offers beyond reading and writing. The request stays in flight as long as `self` lives.
    #[must_use]
    pub fn get_ref(&self) -> &T {
        &self.io
    }

    /// The connection. The request is not in flight any more.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.io
    }
}

/// Notes how an operation on the connection ended.
fn note<R>(request: &mut Option<InFlight>, result: &io::Result<R>, ended: bool) {
    let Some(in_flight) = request else { return };
    match result {
        Ok(_) => in_flight.answered(),
        Err(_) => in_flight.record(Outcome::Failure),
    }
    if result.is_err() || ended {
        *request = None;
    }
}

/// Notes an error of writing; that something could be written shows no sign of life.
fn note_written<R>(request: &mut Option<InFlight>, result: io::Result<R>) -> io::Result<R> {
    if result.is_err() {
        note(request, &result, true);
    }
    result
}

impl<T: AsyncRead> AsyncRead for InFlightIo<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        let (before, room) = (buf.filled().len(), buf.remaining());
        let result = ready!(this.io.poll_read(cx, buf));
        note(this.request, &result, room > 0 && buf.filled().len() == before);
        Poll::Ready(result)
    }
}

impl<T: AsyncWrite> AsyncWrite for InFlightIo<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.project();
        this.io.poll_write(cx, buf).map(|result| note_written(this.request, result))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        this.io.poll_write_vectored(cx, bufs).map(|result| note_written(this.request, result))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        this.io.poll_flush(cx).map(|result| note_written(this.request, result))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_shutdown(cx)
    }
}

impl<T: fmt::Debug> fmt::Debug for InFlightIo<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlightIo").field("io", &self.io).field("request", &self.request).finish()
    }
}
