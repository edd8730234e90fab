//! Both directions of a connection, until both have ended.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::net::TcpStream;

use super::{Counted, Half};

/// Carries a connection: each side's end is passed on to the other, which may go on talking.
///
/// Ready when both have ended, or one has broken; both sockets are closed when it is dropped.
#[derive(Debug)]
pub(super) struct Pump {
    client: TcpStream,
    server: TcpStream,
    up: Half,
    down: Half,
    counted: Counted,
}

impl Pump {
    pub(super) const fn new(client: TcpStream, server: TcpStream, counted: Counted, splice: bool) -> Self {
        Self { client, server, up: Half::new(splice), down: Half::new(splice), counted }
    }

    /// Lets both sides see that the connection broke, rather than a regular end of a part of the data.
    fn reset(&self) {
        // A side that is gone already needs no telling.
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
