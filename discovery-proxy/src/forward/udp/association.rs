//! One client's way to its endpoint.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use socket2::SockRef;
use tokio::{net::UdpSocket, sync::OwnedSemaphorePermit, task::AbortHandle, time::timeout_at};

use super::{BATCH, SHARED, Table};
use crate::Connection;
use crate::forward::clock;

/// One client's way to its endpoint. Datagrams of the client go out by it, replies come back by it.
#[derive(Debug)]
pub(super) struct Association {
    pub(super) client: SocketAddr,
    pub(super) endpoint: SocketAddr,
    socket: UdpSocket,
    born: Instant,
    /// When it was last used, in nanoseconds since it was born.
    used: AtomicU64,
    idle: Duration,
    _counted: Option<Box<Connection>>,
    _permit: OwnedSemaphorePermit,
}

/// An association in the table. Taking it out ends it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) association: Arc<Association>,
    replies: AbortHandle,
}

impl Association {
    pub(super) fn new(
        (client, endpoint): (SocketAddr, SocketAddr),
        socket: UdpSocket,
        (born, idle): (Instant, Duration),
        counted: Option<Box<Connection>>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let used = AtomicU64::new(0);
        Self { client, endpoint, socket, born, used, idle, _counted: counted, _permit: permit }
    }

    /// Sends to the endpoint. Not through the reactor: a queue that is full loses the datagram, as any router does.
    pub(super) fn send(&self, datagram: &[u8], now: Instant) -> io::Result<()> {
        self.touch(now);
        SockRef::from(&self.socket).send(datagram).map(|_| ())
    }

    fn touch(&self, now: Instant) {
        let age = now.saturating_duration_since(self.born).as_nanos();
        self.used.fetch_max(u64::try_from(age).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// When it ends, unless it is used before.
    fn ends(&self) -> Instant {
        self.born + Duration::from_nanos(self.used.load(Ordering::Relaxed)) + self.idle
    }
}

impl Entry {
    /// Starts to carry replies.
    pub(super) fn start(association: Association, table: &Arc<Table>) -> Self {
        let association = Arc::new(association);
        let replies = table.runtime.spawn(replies(association.clone(), Arc::downgrade(table), table.socket.clone()));
        Self { association, replies: replies.abort_handle() }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.replies.abort();
    }
}

/// Carries replies until nothing has passed in either direction for the idle time.
async fn replies(association: Arc<Association>, table: Weak<Table>, to: Arc<UdpSocket>) {
    loop {
        let ends = association.ends();
        let goes_on = match timeout_at(ends.into(), association.socket.readable()).await {
            Ok(Ok(())) => table.upgrade().is_some_and(|table| pass_on(&association, &to, &table)),
            Ok(Err(_)) => false,
            // It may have been used meanwhile.
            Err(_) => association.ends() > ends,
        };
        if !goes_on {
            break;
        }
        // A busy endpoint is not to keep others of the thread from their turn.
        tokio::task::coop::consume_budget().await;
    }
    if let Some(table) = table.upgrade() {
        table.remove(&association);
    }
}

/// Passes on what has arrived. False when the association is over.
fn pass_on(association: &Association, to: &UdpSocket, table: &Table) -> bool {
    SHARED.with_borrow_mut(|buffer| {
        for _ in 0..BATCH {
            match association.socket.try_recv(buffer) {
                Ok(n) => {
                    association.touch(clock::now());
                    let datagram = buffer.get(..n).unwrap_or_default();
                    if SockRef::from(to).send_to(datagram, &association.client.into()).is_err() {
                        table.shared.stats.lost.add();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                // An ICMP error: nobody listens there, or there is no way.
                Err(_) => {
                    table.shared.stats.lost.add();
                    if table.ends_on_error() {
                        return false;
                    }
                }
            }
        }
        true
    })
}
