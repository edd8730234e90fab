//! Dials an endpoint as the mode says.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::pin,
    task::Poll,
    time::{Duration, Instant},
};

use tokio::net::{TcpSocket, TcpStream};

use crate::{Connection, Dial, forward::error::DialError, forward::way::Way};

use crate::forward::clock;

/// A connection to an endpoint.
#[derive(Debug)]
pub(in crate::forward) struct Connected {
    pub(in crate::forward) stream: TcpStream,
    pub(in crate::forward) endpoint: SocketAddr,
    pub(in crate::forward) counted: Counted,
}

/// What IPVS counts of a connection: told of its end, so that affinity lasts from there.
#[derive(Debug, Default)]
pub(in crate::forward) struct Counted(Option<Box<Connection>>);

impl Counted {
    pub(in crate::forward) const fn new(connection: Option<Box<Connection>>) -> Self {
        Self(connection)
    }

    /// One side has said its last.
    pub(in crate::forward) fn finish(&mut self) {
        if let Some(connection) = &mut self.0 {
            connection.finish();
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            connection.close(clock::now());
        }
    }
}

/// Follows a way to its end. Cancel-safe: what was being dialled is given up.
pub(in crate::forward) async fn connect(
    way: Way,
    destination: SocketAddr,
    timeout: Duration,
) -> Result<Connected, DialError> {
    match way {
        Way::Attempts(dial) => attempts(dial, destination).await,
        Way::Once(endpoint, connection) => {
            let counted = Counted::new(connection);
            match one(endpoint, timeout).await {
                Ok(stream) => Ok(Connected { stream, endpoint, counted }),
                Err(error) => Err(DialError::failed(destination, 1, endpoint, error)),
            }
        }
        Way::Untouched => match one(destination, timeout).await {
            Ok(stream) => Ok(Connected { stream, endpoint: destination, counted: Counted::default() }),
            Err(error) => Err(DialError::failed(destination, 1, destination, error)),
        },
        Way::Refuse => Err(DialError::refused(destination)),
        Way::Silence => Err(DialError::dropped(destination)),
    }
}

/// `TryConnectEndpoints`, k/k pkg/proxy/userspace/proxysocket.go. Without descriptors upstream panics; here the
/// connection fails.
async fn attempts(mut dial: Dial, destination: SocketAddr) -> Result<Connected, DialError> {
    let mut error = DialError::refused(destination);
    let mut made = 0;
    while let Some(attempt) = dial.attempt(now()) {
        made += 1;
        match one(attempt.addr, attempt.timeout).await {
            Ok(stream) => return Ok(Connected { stream, endpoint: attempt.addr, counted: Counted::default() }),
            Err(failed) => error = DialError::failed(destination, made, attempt.addr, failed),
        }
    }
    Err(error)
}

async fn one(addr: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_nodelay(true)?;
    let mut connecting = pin!(socket.connect(addr));
    // An endpoint on this node has answered when the reactor has had a turn: that is not worth a timer, which wakes the
    // reactor once more.
    for _ in 0..2 {
        if let Poll::Ready(connected) = poll_fn(|cx| Poll::Ready(connecting.as_mut().poll(cx))).await {
            return connected;
        }
        tokio::task::yield_now().await;
    }
    match tokio::time::timeout(timeout, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {timeout:?}"))),
    }
}

fn now() -> Instant {
    clock::now()
}
