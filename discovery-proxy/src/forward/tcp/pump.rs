//! Carries the data of a connection in both directions.
//!
//! Data are read into a buffer that all connections of a thread share, and written at once. What the other side does not
//! accept is kept, and nothing more is read until it is written. That applies back-pressure and limits what a direction
//! holds. A direction that fills the buffer repeatedly carries bulk data, and gets a pipe.

use std::{
    cell::RefCell,
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::pipe::Pipe;
use crate::forward::dial::CountedConnection;

/// A pipe for bulk data, where the system has `splice(2)`.
pub(super) trait BulkPipe: Sized {
    /// An empty pipe; `None` if the system cannot create one.
    fn acquire() -> Option<Self>;

    /// Keeps an empty pipe for another connection.
    fn release(self);

    fn is_empty(&self) -> bool;

    /// Reads from the socket; 0 is its end. Call it on an empty pipe only, so that `WouldBlock` refers to the socket.
    fn fill(&mut self, from: &TcpStream) -> io::Result<usize>;

    /// Writes as much as the socket accepts.
    fn drain(&mut self, to: &TcpStream) -> io::Result<usize>;
}

/// The size of the shared buffer, and so the most that a direction without a pipe holds back.
const BUFFER: usize = 64 * 1024;
/// The number of full buffers in a row that counts as bulk data.
const BULK: u8 = 2;

thread_local! {
    static SHARED: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER].into());
}

/// Carries a connection. When one side ends, the end is passed on, and the other side may continue (half-close).
///
/// Completes when both sides have ended, or with an error when the connection breaks. Dropping it closes both sockets.
#[derive(Debug)]
pub(super) struct Pump {
    client: TcpStream,
    server: TcpStream,
    up: Direction,
    down: Direction,
    counted: CountedConnection,
}

impl Pump {
    pub(super) const fn new(client: TcpStream, server: TcpStream, counted: CountedConnection, splice: bool) -> Self {
        Self { client, server, up: Direction::new(splice), down: Direction::new(splice), counted }
    }

    /// Makes both sides see a reset, so that neither takes partial data for a regular end.
    pub(super) fn reset(&self) {
        // An error means that the side is gone already.
        let _ = self.client.set_zero_linger();
        let _ = self.server.set_zero_linger();
    }
}

impl Future for Pump {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { client, server, up, down, counted } = &mut *self;
        let had_end = up.is_done() || down.is_done();
        let polled = match up.poll(cx, client, server, down.is_done()) {
            Poll::Ready(Err(error)) => Err(error),
            _ => match down.poll(cx, server, client, up.is_done()) {
                Poll::Ready(Err(error)) => Err(error),
                _ => Ok(()),
            },
        };
        if let Err(error) = polled {
            self.reset();
            return Poll::Ready(Err(error));
        }
        match (up.is_done(), down.is_done()) {
            (true, true) => Poll::Ready(Ok(())),
            (false, false) => Poll::Pending,
            _ => {
                if !had_end {
                    counted.finish();
                }
                Poll::Pending
            }
        }
    }
}

/// One direction of a connection, from one socket to the other.
#[derive(Debug)]
struct Direction {
    pending: PendingData,
    /// The number of full buffers in a row; `u8::MAX` if pipes are not used.
    full: u8,
    /// Whether the source has ended.
    ended: bool,
    /// Whether the end has been passed on.
    shut: bool,
}

/// Data that have been read but not written.
#[derive(Debug)]
enum PendingData {
    None,
    Bytes(Box<PartialWrite>),
    Pipe(Box<Pipe>),
}

#[derive(Debug)]
struct PartialWrite {
    data: Box<[u8]>,
    written: usize,
}

impl Direction {
    const fn new(splice: bool) -> Self {
        Self { pending: PendingData::None, full: if splice { 0 } else { u8::MAX }, ended: false, shut: false }
    }

    /// Whether everything has been passed on, including the end.
    const fn is_done(&self) -> bool {
        self.shut
    }

    /// Carries the data that are available; ready when the end has been passed on. If `last`, the other direction has
    /// ended, and closing the socket passes on the end.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut TcpStream,
        to: &mut TcpStream,
        last: bool,
    ) -> Poll<io::Result<()>> {
        while !self.ended {
            ready!(self.poll_flush(cx, to))?;
            let n = match self.poll_more(cx, from, to) {
                Poll::Ready(n) => n?,
                Poll::Pending => {
                    // No data are on their way, so hold no pipe.
                    self.release_pipe();
                    return Poll::Pending;
                }
            };
            self.ended = n == 0;
        }
        ready!(self.poll_flush(cx, to))?;
        if !self.shut {
            self.release_pipe();
            if !last {
                ready!(Pin::new(to).poll_shutdown(cx))?;
            }
            self.shut = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once, and writes as much as the other side accepts at once.
    fn poll_more(&mut self, cx: &mut Context<'_>, from: &mut TcpStream, to: &mut TcpStream) -> Poll<io::Result<usize>> {
        if self.full == BULK
            && let Some(pipe) = Pipe::acquire()
        {
            self.pending = PendingData::Pipe(Box::new(pipe));
            self.full = 0;
        }
        if let PendingData::Pipe(pipe) = &mut self.pending {
            return poll_fill(cx, pipe, from);
        }
        SHARED.with_borrow_mut(|shared| {
            let mut buffer = ReadBuf::new(shared);
            ready!(Pin::new(from).poll_read(cx, &mut buffer))?;
            let read = buffer.filled();
            if self.full != u8::MAX {
                self.full = if read.len() == BUFFER { self.full + 1 } else { 0 };
            }
            if !read.is_empty() {
                let written = match Pin::new(to).poll_write(cx, read) {
                    Poll::Ready(written) => written?,
                    Poll::Pending => 0,
                };
                if let Some(rest) = read.get(written..).filter(|rest| !rest.is_empty()) {
                    self.pending = PendingData::Bytes(Box::new(PartialWrite { data: rest.into(), written: 0 }));
                }
            }
            Poll::Ready(Ok(read.len()))
        })
    }

    /// Writes the pending data.
    fn poll_flush(&mut self, cx: &mut Context<'_>, to: &mut TcpStream) -> Poll<io::Result<()>> {
        match &mut self.pending {
            PendingData::None => {}
            PendingData::Bytes(bytes) => {
                while let Some(rest) = bytes.data.get(bytes.written..).filter(|rest| !rest.is_empty()) {
                    bytes.written += ready!(Pin::new(&mut *to).poll_write(cx, rest))?;
                }
                self.pending = PendingData::None;
            }
            PendingData::Pipe(pipe) => {
                while !pipe.is_empty() {
                    ready!(to.poll_write_ready(cx))?;
                    match pipe.drain(to) {
                        Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                        Ok(_) => {}
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Poll::Ready(Err(error)),
                    }
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Returns an empty pipe to the pool of the thread.
    fn release_pipe(&mut self) {
        if let PendingData::Pipe(pipe) = std::mem::replace(&mut self.pending, PendingData::None) {
            pipe.release();
        }
    }
}

fn poll_fill(cx: &mut Context<'_>, pipe: &mut Pipe, from: &TcpStream) -> Poll<io::Result<usize>> {
    loop {
        ready!(from.poll_read_ready(cx))?;
        match pipe.fill(from) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            other => return Poll::Ready(other),
        }
    }
}
