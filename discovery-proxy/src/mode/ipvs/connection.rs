//! Connections that schedulers count.

use std::{fmt, net::SocketAddr, sync::Arc, time::Instant};

use super::server::Was;
use crate::mode::Cell;

/// A connection through an IPVS virtual server: it counts as active until it finishes or ends.
///
/// Tell when it ends, with [`close`](Self::close); one that is dropped ends at a time that nobody knows, and then does
/// not prolong session affinity.
pub struct Connection {
    cell: Arc<Cell>,
    server: SocketAddr,
    dest: SocketAddr,
    id: u64,
    client: SocketAddr,
    was: Was,
    ended: Option<Instant>,
}

impl Connection {
    pub(crate) fn open(cell: &Arc<Cell>, server: SocketAddr, dest: SocketAddr, client: SocketAddr) -> Option<Self> {
        let id = cell.servers()?.with(server, |server| server.opened(dest, client.ip()))??;
        Some(Self { cell: cell.clone(), server, dest, id, client, was: Was::Active, ended: None })
    }

    /// Where it leads.
    #[must_use]
    pub const fn endpoint(&self) -> SocketAddr {
        self.dest
    }

    /// One side has said its last (TCP: FIN seen, until the end of TIME_WAIT). It counts little from here on.
    pub fn finish(&mut self) {
        if self.was == Was::Active {
            self.was = Was::Inactive;
            if let Some(servers) = self.cell.servers() {
                servers.with(self.server, |server| server.finishing(self.id));
            }
        }
    }

    /// It has ended.
    pub fn close(mut self, now: Instant) {
        self.ended = Some(now);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(servers) = self.cell.servers() {
            let client = self.client.ip();
            servers.with(self.server, |server| server.closed(self.id, client, self.was, self.ended));
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("client", &self.client).field("endpoint", &self.dest).finish_non_exhaustive()
    }
}
