//! A network that stops carrying packets while connections stay open, as when a node loses its power.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::AbortHandle,
};

/// Carries connections to one backend until [`swallow`](Self::swallow). From then on it closes no connection and carries
/// no byte. Stops when it is dropped.
#[derive(Debug)]
pub struct BlackHole {
    addr: SocketAddr,
    swallows: watch::Sender<bool>,
    task: AbortHandle,
}

impl BlackHole {
    /// Listens on a free port of 127.0.0.1, and carries each connection to `backend`.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(backend: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let (swallows, swallowing) = watch::channel(false);
        let task = tokio::spawn(serve(listener, backend, swallowing)).abort_handle();
        Ok(Self { addr, swallows, task })
    }

    /// The address that it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Carries nothing from now on, in either direction.
    pub fn swallow(&self) {
        self.swallows.send_replace(true);
    }
}

impl Drop for BlackHole {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, backend: SocketAddr, swallows: watch::Receiver<bool>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(carry(client, backend, swallows.clone()));
    }
}

async fn carry(mut client: TcpStream, backend: SocketAddr, mut swallows: watch::Receiver<bool>) {
    let Ok(mut server) = TcpStream::connect(backend).await else { return };
    tokio::select! {
        biased;
        _ = swallows.wait_for(|swallows| *swallows) => {}
        _ = copy_bidirectional(&mut client, &mut server) => return,
    }
    let mut bytes = [0; 1024];
    while let Ok(1..) = client.read(&mut bytes).await {}
}
