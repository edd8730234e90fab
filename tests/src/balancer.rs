//! A Service's virtual address for TCP: each connection goes to the next backend.

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

/// Carries each connection to the next backend, alive or not, as kube-proxy does until it learns of a change. Stops
/// when it is dropped.
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
    /// Sending a value cuts all connections.
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

    /// The address that it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Replaces the backends for new connections.
    pub fn set(&self, backends: impl IntoIterator<Item = SocketAddr>) {
        *self.shared.backends.lock().unwrap_or_else(PoisonError::into_inner) = backends.into_iter().collect();
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        self.shared.cut.send_replace(());
    }

    /// The number of connections accepted so far.
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
    // When the backend cannot be reached, the client's connection closes.
    let Ok(mut server) = TcpStream::connect(backend).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = cut.changed() => {}
    }
}
