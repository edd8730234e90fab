//! Kept TCP connections to nameservers.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use hickory_net::{
    NetError,
    proto::op::{DnsRequest, DnsResponse},
    runtime::TokioRuntimeProvider,
    tcp::TcpClientStream,
    xfer::{DnsExchange, DnsHandle, FirstAnswer},
};

use crate::clock;

/// A connection that nobody used for so long is closed: it pins one replica of the DNS service.
const IDLE: Duration = Duration::from_secs(10);

/// A connection is replaced when it is so old, even when it is in use, for the same reason.
const MAX_AGE: Duration = Duration::from_secs(60);

/// Questions in flight on one connection; the next one opens a connection of its own.
const MAX_ACTIVE: usize = 1024;

/// At most one kept connection per nameserver.
#[derive(Clone, Default)]
pub(super) struct TcpConnections(Arc<Mutex<Kept>>);

type Kept = BTreeMap<SocketAddr, Connection>;

#[derive(Clone)]
struct Connection {
    exchange: DnsExchange<TokioRuntimeProvider>,
    /// Owns the task that drives the connection: it ends with the last clone, and with it the connection.
    _provider: TokioRuntimeProvider,
    opened: Instant,
    used: Instant,
}

impl TcpConnections {
    /// Asks over the kept connection; when that fails, or there is none, over a new one.
    pub(super) async fn ask(
        &self,
        server: SocketAddr,
        request: DnsRequest,
        timeout: Duration,
    ) -> Result<DnsResponse, NetError> {
        if let Some(kept) = self.kept(server) {
            // Half of the time: when the other end has gone without a word, a new connection still has a chance.
            let answer = kept.exchange.send(request.clone()).first_answer();
            match tokio::time::timeout(timeout / 2, answer).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(_)) | Err(_) => self.forget(server, kept.opened),
            }
        }
        // Kept only once it has answered: a question that is given up leaves no silent connection to the next.
        let provider = TokioRuntimeProvider::new();
        let exchange = TcpClientStream::exchange(server, None, timeout, Some(MAX_ACTIVE), provider.clone()).await?;
        let answer = exchange.send(request).first_answer().await?;
        self.keep(server, exchange, provider);
        Ok(answer)
    }

    fn kept(&self, server: SocketAddr) -> Option<Connection> {
        let now = clock::now();
        let mut kept = self.lock();
        let connection = kept.get_mut(&server)?;
        if now.duration_since(connection.opened) >= MAX_AGE || now.duration_since(connection.used) >= IDLE {
            kept.remove(&server);
            return None;
        }
        connection.used = now;
        Some(connection.clone())
    }

    fn keep(&self, server: SocketAddr, exchange: DnsExchange<TokioRuntimeProvider>, provider: TokioRuntimeProvider) {
        let now = clock::now();
        self.lock().insert(server, Connection { exchange, _provider: provider, opened: now, used: now });
        tokio::spawn(close_when_idle(Arc::downgrade(&self.0), server, now));
    }

    /// Forgets that connection; another one may have taken its place meanwhile.
    fn forget(&self, server: SocketAddr, opened: Instant) {
        let mut kept = self.lock();
        if kept.get(&server).is_some_and(|connection| connection.opened == opened) {
            kept.remove(&server);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for TcpConnections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.lock().keys()).finish()
    }
}

/// Ends with the connection that it watches, or with the last owner of the connections.
async fn close_when_idle(kept: Weak<Mutex<Kept>>, server: SocketAddr, opened: Instant) {
    let mut wake = opened + IDLE;
    loop {
        tokio::time::sleep_until(wake.into()).await;
        let Some(kept) = kept.upgrade() else { return };
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.get(&server) {
            Some(connection) if connection.opened == opened => {
                let until = (connection.used + IDLE).min(opened + MAX_AGE);
                if until <= clock::now() {
                    kept.remove(&server);
                    return;
                }
                wake = until;
            }
            _ => return,
        }
    }
}
