//! Pooled TCP connections to nameservers.

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

use crate::{clock, source::dns::gate::KeptConnection};

/// How long a connection may be idle before it is closed: a connection pins one replica of the DNS service.
const IDLE: Duration = Duration::from_secs(10);

/// The age at which a connection is replaced even if it is in use, for the same reason.
const MAX_AGE: Duration = Duration::from_secs(60);

/// How many queries may be in flight on one connection; the next one opens another connection.
const MAX_ACTIVE: usize = 1024;

/// At most one pooled connection per nameserver.
#[derive(Clone, Default)]
pub(super) struct TcpConnections(Arc<Mutex<Pool>>);

type Pool = BTreeMap<SocketAddr, Connection>;

#[derive(Clone)]
struct Connection {
    exchange: DnsExchange<TokioRuntimeProvider>,
    /// Owns the task that drives the connection. Task and connection end when the last clone is dropped.
    _provider: TokioRuntimeProvider,
    opened: Instant,
    used: Instant,
    _kept: Arc<KeptConnection>,
}

impl TcpConnections {
    /// Sends the request over the pooled connection. If that fails or there is none, opens a new connection.
    pub(super) async fn ask(
        &self,
        server: SocketAddr,
        request: DnsRequest,
        timeout: Duration,
    ) -> Result<DnsResponse, NetError> {
        if let Some(pooled) = self.get(server) {
            // Half of the timeout: if the peer has gone silently, a new connection still has a chance.
            let answer = pooled.exchange.send(request.clone()).first_answer();
            match tokio::time::timeout(timeout / 2, answer).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(_)) | Err(_) => self.remove(server, pooled.opened),
            }
        }
        // Pooled only after the first answer: an abandoned query leaves no dead connection to the next one.
        let provider = TokioRuntimeProvider::new();
        let exchange = TcpClientStream::exchange(server, None, timeout, Some(MAX_ACTIVE), provider.clone()).await?;
        let answer = exchange.send(request).first_answer().await?;
        self.insert(server, exchange, provider);
        Ok(answer)
    }

    fn get(&self, server: SocketAddr) -> Option<Connection> {
        let now = clock::now();
        let mut pool = self.lock();
        let connection = pool.get_mut(&server)?;
        if now.duration_since(connection.opened) >= MAX_AGE || now.duration_since(connection.used) >= IDLE {
            pool.remove(&server);
            return None;
        }
        connection.used = now;
        Some(connection.clone())
    }

    fn insert(&self, server: SocketAddr, exchange: DnsExchange<TokioRuntimeProvider>, provider: TokioRuntimeProvider) {
        let (now, Some(kept)) = (clock::now(), KeptConnection::new()) else { return };
        let kept = Arc::new(kept);
        self.lock().insert(server, Connection { exchange, _provider: provider, opened: now, used: now, _kept: kept });
        tokio::spawn(close_when_idle(Arc::downgrade(&self.0), server, now));
    }

    /// Removes the connection that was opened at that time; another one may have replaced it in the meantime.
    fn remove(&self, server: SocketAddr, opened: Instant) {
        let mut pool = self.lock();
        if pool.get(&server).is_some_and(|connection| connection.opened == opened) {
            pool.remove(&server);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for TcpConnections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.lock().keys()).finish()
    }
}

/// Closes one connection when it is idle or too old. Ends when the connection is gone or the pool is dropped.
async fn close_when_idle(pool: Weak<Mutex<Pool>>, server: SocketAddr, opened: Instant) {
    let mut wake = opened + IDLE;
    loop {
        tokio::time::sleep_until(wake.into()).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut pool = pool.lock().unwrap_or_else(PoisonError::into_inner);
        match pool.get(&server) {
            Some(connection) if connection.opened == opened => {
                let until = (connection.used + IDLE).min(opened + MAX_AGE);
                if until <= clock::now() {
                    pool.remove(&server);
                    return;
                }
                wake = until;
            }
            _ => return,
        }
    }
}
