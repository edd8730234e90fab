//! A loopback listener in front of a target.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};

use super::TcpConnector;
use crate::{Error, error::Kind};

/// How long the listener rests after an error, which is lack of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Listens on loopback, and carries each connection to an endpoint of a target: for drivers that take a host and a port
/// and nothing else.
///
/// The driver connects to [`local_addr`](Self::local_addr). Each of its connections goes to an endpoint that the policy
/// picks, and stays there. If no endpoint can be reached, the driver's connection is reset, and a warning in the log
/// says why. A connection is carried until both directions have ended; neither has a time limit.
///
/// Everybody on the machine, and in a pod each of its containers, can connect to the listener.
///
/// Dropping the bridge closes the listener and all connections.
#[derive(Debug)]
pub struct Bridge {
    addr: SocketAddr,
    task: AbortHandle,
}

impl Bridge {
    /// Listens on a free port of 127.0.0.1. Call it on a Tokio runtime, which carries the connections.
    ///
    /// # Errors
    /// [`Error::is_transient`] when no port can be bound.
    pub async fn bind(connector: impl Into<TcpConnector>) -> Result<Self, Error> {
        Self::bind_to((Ipv4Addr::LOCALHOST, 0).into(), connector).await
    }

    /// Listens on `addr`, a loopback address; port 0 is any free port.
    ///
    /// # Errors
    /// [`Error::is_config`] when `addr` is not on loopback: others could then reach the target with the rights of this
    /// process. [`Error::is_transient`] when the port cannot be bound.
    pub async fn bind_to(addr: SocketAddr, connector: impl Into<TcpConnector>) -> Result<Self, Error> {
        if !addr.ip().is_loopback() {
            let text = format!("a bridge cannot listen on {addr}: other machines could use it; use 127.0.0.1 or [::1]");
            return Err(Error::config(text));
        }
        let failed = |error: io::Error| {
            Error::with_source(Kind::Transient, format!("a bridge cannot listen on {addr}: {error}"), error)
        };
        let listener = TcpListener::bind(addr).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let task = tokio::spawn(serve(listener, connector.into())).abort_handle();
        Ok(Self { addr, task })
    }

    /// The address that the bridge listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, connector: TcpConnector) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    connections.spawn(carry(client, connector.clone()));
                }
                Err(error) => {
                    let target = connector.upstream().target();
                    tracing::warn!(%target, %error, "a bridge cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn carry(mut client: TcpStream, connector: TcpConnector) {
    match connector.connect().await {
        Ok(mut server) => {
            let _ = client.set_nodelay(true);
            // An error has ended the connection: each side sees its own end of it.
            let _ = copy_bidirectional(&mut client, &mut server).await;
        }
        Err(error) => {
            tracing::warn!(target = %connector.upstream().target(), %error, "a connection of a bridge is reset");
            // An orderly end would look like an empty answer.
            let _ = client.set_zero_linger();
        }
    }
}
