//! Pipes for `splice(2)`: bulk data pass from socket to socket as pages, without being copied twice.
//!
//! A pipe is only held while data are in it or on their way; a thread keeps a few for the next one who has bulk.

use std::{cell::RefCell, io, os::fd::OwnedFd};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::{io::Interest, net::TcpStream};

/// What goes through at once. As much as any user may ask for (`fs.pipe-max-size`).
const CAPACITY: usize = 1 << 20;
/// How many idle pipes a thread keeps: 32 descriptors at most.
const KEPT: usize = 16;

thread_local! {
    static IDLE: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

/// A pipe, and how much is in it.
#[derive(Debug)]
pub(super) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    capacity: usize,
    len: usize,
}

impl Pipe {
    /// An empty pipe; `None` when the system has no more.
    pub(super) fn take() -> Option<Self> {
        IDLE.with_borrow_mut(Vec::pop).or_else(|| {
            let (read, write) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).ok()?;
            // A user with many pipes gets no more large ones: then it stays as it is.
            let capacity = fcntl_setpipe_size(&write, CAPACITY).unwrap_or(1 << 16);
            Some(Self { read, write, capacity, len: 0 })
        })
    }

    /// Keeps an empty pipe for somebody else.
    pub(super) fn give_back(self) {
        if self.len == 0 {
            IDLE.with_borrow_mut(|idle| {
                if idle.len() < KEPT {
                    idle.push(self);
                }
            });
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes in what the socket has; 0 is its end. Only of an empty pipe, so that "would block" is about the socket.
    pub(super) fn fill(&mut self, from: &TcpStream) -> io::Result<usize> {
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        let n = from.try_io(Interest::READABLE, || Ok(splice(from, None, &self.write, None, self.capacity, flags)?))?;
        self.len += n;
        Ok(n)
    }

    /// Gives the socket what it takes.
    pub(super) fn drain(&mut self, to: &TcpStream) -> io::Result<usize> {
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        let n = to.try_io(Interest::WRITABLE, || Ok(splice(&self.read, None, to, None, self.len, flags)?))?;
        self.len = self.len.saturating_sub(n);
        Ok(n)
    }
}
