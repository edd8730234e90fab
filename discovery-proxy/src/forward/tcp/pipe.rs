//! Pipes for `splice(2)`, which moves bulk data from socket to socket as pages instead of copying them twice.
//!
//! A connection holds a pipe only while data are in it or on their way. Each thread keeps a few idle pipes for reuse.

use std::{cell::RefCell, io, os::fd::OwnedFd};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::{io::Interest, net::TcpStream};

use super::pump::BulkPipe;

/// The capacity of a pipe: the most that any user may request (`fs.pipe-max-size`).
const CAPACITY: usize = 1 << 20;
/// How many idle pipes a thread keeps, with two descriptors each.
const MAX_IDLE: usize = 16;

thread_local! {
    static IDLE: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

/// A pipe, and the amount of data in it.
#[derive(Debug)]
pub(super) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    capacity: usize,
    len: usize,
}

impl BulkPipe for Pipe {
    fn acquire() -> Option<Self> {
        IDLE.with_borrow_mut(Vec::pop).or_else(|| {
            let (read, write) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).ok()?;
            // A user with many pipes cannot enlarge more of them. The pipe then keeps its default size.
            let capacity = fcntl_setpipe_size(&write, CAPACITY).unwrap_or(1 << 16);
            Some(Self { read, write, capacity, len: 0 })
        })
    }

    fn release(self) {
        if self.len == 0 {
            IDLE.with_borrow_mut(|idle| {
                if idle.len() < MAX_IDLE {
                    idle.push(self);
                }
            });
        }
    }

    fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn fill(&mut self, from: &TcpStream) -> io::Result<usize> {
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        let n = from.try_io(Interest::READABLE, || Ok(splice(from, None, &self.write, None, self.capacity, flags)?))?;
        self.len += n;
        Ok(n)
    }

    fn drain(&mut self, to: &TcpStream) -> io::Result<usize> {
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        let n = to.try_io(Interest::WRITABLE, || Ok(splice(&self.read, None, to, None, self.len, flags)?))?;
        self.len = self.len.saturating_sub(n);
        Ok(n)
    }
}
