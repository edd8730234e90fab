//! One direction of a connection.
//!
//! Data are read into a buffer that all connections of a thread share and written at once. What the other side does not
//! take is kept, and nothing more is read until it is gone: that is the back-pressure, and the bound of what a
//! direction holds. A direction that fills the buffer time and again has bulk, and gets a pipe.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::Pipe;

/// What is read at once, and so the most that a direction holds back without a pipe.
pub(super) const BUFFER: usize = 64 * 1024;
/// So many full buffers in a row are bulk.
const BULK: u8 = 2;

thread_local! {
    static SHARED: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER].into());
}

/// One direction, from one socket to the other.
#[derive(Debug)]
pub(super) struct Half {
    kept: Kept,
    /// Full buffers in a row; `u8::MAX` where pipes are not to be used.
    full: u8,
    ended: bool,
    shut: bool,
}

/// What has been read and not yet written.
#[derive(Debug)]
enum Kept {
    Nothing,
    Bytes(Box<Bytes>),
    Pipe(Box<Pipe>),
}

#[derive(Debug)]
struct Bytes {
    data: Box<[u8]>,
    written: usize,
}

impl Half {
    pub(super) const fn new(splice: bool) -> Self {
        Self { kept: Kept::Nothing, full: if splice { 0 } else { u8::MAX }, ended: false, shut: false }
    }

    /// Whether all has been passed on, the end too.
    pub(super) const fn is_done(&self) -> bool {
        self.shut
    }

    /// Carries what there is. Ready when the end has been passed on; `last` says that the other direction has ended, so
    /// that closing the socket will tell it.
    pub(super) fn poll(
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
                    // Nothing is on its way: hold nothing.
                    self.let_go();
                    return Poll::Pending;
                }
            };
            self.ended = n == 0;
        }
        ready!(self.poll_flush(cx, to))?;
        if !self.shut {
            self.let_go();
            if !last {
                ready!(Pin::new(to).poll_shutdown(cx))?;
            }
            self.shut = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once, and writes what can be written at once.
    fn poll_more(&mut self, cx: &mut Context<'_>, from: &mut TcpStream, to: &mut TcpStream) -> Poll<io::Result<usize>> {
        if self.full == BULK
            && let Some(pipe) = Pipe::take()
        {
            self.kept = Kept::Pipe(Box::new(pipe));
            self.full = 0;
        }
        if let Kept::Pipe(pipe) = &mut self.kept {
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
                    self.kept = Kept::Bytes(Box::new(Bytes { data: rest.into(), written: 0 }));
                }
            }
            Poll::Ready(Ok(read.len()))
        })
    }

    /// Writes what is kept.
    fn poll_flush(&mut self, cx: &mut Context<'_>, to: &mut TcpStream) -> Poll<io::Result<()>> {
        match &mut self.kept {
            Kept::Nothing => {}
            Kept::Bytes(bytes) => {
                while let Some(rest) = bytes.data.get(bytes.written..).filter(|rest| !rest.is_empty()) {
                    bytes.written += ready!(Pin::new(&mut *to).poll_write(cx, rest))?;
                }
                self.kept = Kept::Nothing;
            }
            Kept::Pipe(pipe) => {
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

    /// Gives an empty pipe to who needs one.
    fn let_go(&mut self) {
        if let Kept::Pipe(pipe) = std::mem::replace(&mut self.kept, Kept::Nothing) {
            pipe.give_back();
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
