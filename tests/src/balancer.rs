//! A Service's virtual address: TCP, connection by connection to the next backend.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::AbortHandle,
};

/// Takes each connection to the next of its backends, alive or not, as kube-proxy does until it hears of a change. Ends when it
/// is dropped.
#[derive(Debug)]
pub struct Balancer {
    addr: SocketAddr,
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    backends: Mutex<Vec<SocketAddr>>,
    next: AtomicUsize,
    /// A new value cuts all connections.
    cut: watch::Sender<()>,
}

impl Balancer {
    /// Listens on `addr`.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(addr: SocketAddr, backends: impl IntoIterator<Item = SocketAddr>) -> io::Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let backends = Mutex::new(backends.into_iter().collect());
        let shared = Arc::new(Shared { backends, next: AtomicUsize::new(0), cut: watch::Sender::new(()) });
        let task = tokio::spawn(serve(listener, shared.clone())).abort_handle();
        Ok(Self { addr, shared, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Replaces the backends, for the connections that come.
    pub fn set(&self, backends: impl IntoIterator<Item = SocketAddr>) {
        *self.shared.backends.lock().unwrap_or_else(PoisonError::into_inner) = backends.into_iter().collect();
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        self.shared.cut.send_replace(());
    }

    /// How many connections have come.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.next.load(Ordering::Acquire)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let nth = shared.next.fetch_add(1, Ordering::AcqRel);
        let backend = {
            let backends = shared.backends.lock().unwrap_or_else(PoisonError::into_inner);
            (!backends.is_empty()).then(|| backends[nth % backends.len()])
        };
        if let Some(backend) = backend {
            tokio::spawn(carry(client, backend, shared.cut.subscribe()));
        }
    }
}

async fn carry(mut client: TcpStream, backend: SocketAddr, mut cut: watch::Receiver<()>) {
    // A backend that is not there closes the client's connection.
    let Ok(mut server) = TcpStream::connect(backend).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = cut.changed() => {}
    }
}
