//! Sockets: one UDP socket and one TCP listener on the same port.

mod respond;
mod tcp;
mod udp;
mod wire;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, UdpSocket},
    task::JoinSet,
    time::sleep,
};

use crate::dns::Shared;

/// How often a port is chosen anew, or asked for again, before giving up.
const ATTEMPTS: usize = 100;
/// Between two attempts to get one certain port back, and after a socket error (no file descriptors left).
const PAUSE: Duration = Duration::from_millis(20);

/// Both sockets and every connection end when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    addr: SocketAddr,
    tasks: JoinSet<()>,
}

impl Server {
    /// Binds both sockets; port 0 is a free one, any other is waited for a short time if it is taken.
    pub(crate) async fn start(addr: SocketAddr, shared: Arc<Shared>) -> io::Result<Self> {
        let (udp, tcp) = bind_both(addr).await?;
        let addr = tcp.local_addr()?;
        let mut tasks = JoinSet::new();
        tasks.spawn(udp::serve(udp, Arc::clone(&shared)));
        tasks.spawn(tcp::serve(tcp, shared));
        Ok(Self { addr, tasks })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Resolves when the sockets are closed.
    pub(crate) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn bind_both(addr: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut attempt = 1;
    loop {
        match bind_once(addr).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempt < ATTEMPTS => {
                attempt += 1;
                if addr.port() != 0 {
                    sleep(PAUSE).await;
                }
            }
            bound => return bound,
        }
    }
}

async fn bind_once(addr: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let tcp = TcpListener::bind(addr).await?;
    let udp = UdpSocket::bind(tcp.local_addr()?).await?;
    Ok((udp, tcp))
}
