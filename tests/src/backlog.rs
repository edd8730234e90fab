//! A pod that no connection can be established to, as behind a network that drops packets.

use std::{io, net::SocketAddr, time::Duration};

use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// A listener whose queue of connections is full: the kernel drops the SYN packets of further ones.
#[derive(Debug)]
pub struct FullBacklog {
    listener: TcpListener,
    waiting: Vec<TcpStream>,
}

impl FullBacklog {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(([127, 0, 0, 1], 0).into())?;
        let listener = socket.listen(1)?;
        let addr = listener.local_addr()?;
        let mut waiting = Vec::new();
        while let Ok(stream) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(addr)).await {
            waiting.push(stream?);
        }
        Ok(Self { listener, waiting })
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// When the system does not know it.
    pub fn addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Ends the connections that wait, and returns the listener: connections can be established again.
    ///
    /// # Errors
    /// When a connection cannot be accepted.
    pub async fn open(self) -> io::Result<TcpListener> {
        for waiting in self.waiting {
            drop((waiting, self.listener.accept().await?));
        }
        Ok(self.listener)
    }
}
