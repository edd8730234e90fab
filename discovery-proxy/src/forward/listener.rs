//! The sockets and tasks that listen for one address of a Service.

use std::{
    io,
    net::{Shutdown, SocketAddr},
    sync::Arc,
};

use socket2::SockRef;
use tokio::{net::TcpListener, task::JoinHandle};

use super::{Shared, bind, tcp, udp::Associations, worker::Worker};
use crate::{StaleFlows, object::Protocol};

/// The sockets and tasks that listen for one address of a Service.
#[derive(Debug)]
pub(super) struct Listener {
    local: SocketAddr,
    tcp: Vec<Arc<TcpListener>>,
    udp: Option<Arc<Associations>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Listener {
    /// Listens at `local` for traffic to `destination`.
    pub(super) fn open(
        protocol: Protocol,
        destination: SocketAddr,
        local: SocketAddr,
        shared: &Arc<Shared>,
        workers: &[Worker],
    ) -> io::Result<Self> {
        match protocol {
            Protocol::Udp => Self::open_udp(destination, local, shared, workers),
            _ => Self::open_tcp(destination, local, shared, workers),
        }
    }

    /// Opens one TCP listener for each worker.
    fn open_tcp(
        destination: SocketAddr,
        mut local: SocketAddr,
        shared: &Arc<Shared>,
        workers: &[Worker],
    ) -> io::Result<Self> {
        // All listeners or none: closing one again would reset the connections that arrived in the meantime.
        let mut sockets = Vec::new();
        for _ in workers {
            let socket = bind::tcp(local, workers.len() > 1, shared.settings.keepalive)?;
            local = socket.local_addr()?;
            sockets.push(socket);
        }
        let mut listener = Self { local, tcp: Vec::new(), udp: None, tasks: Vec::new() };
        for (worker, socket) in workers.iter().zip(sockets) {
            let _entered = worker.runtime().enter();
            let socket = Arc::new(TcpListener::from_std(socket)?);
            let task = tcp::serve(socket.clone(), destination, shared.clone(), worker.connections().clone());
            listener.tasks.push(worker.runtime().spawn(task));
            listener.tcp.push(socket);
        }
        Ok(listener)
    }

    /// Opens one UDP socket, because all datagrams of a client must reach its association.
    fn open_udp(
        destination: SocketAddr,
        local: SocketAddr,
        shared: &Arc<Shared>,
        workers: &[Worker],
    ) -> io::Result<Self> {
        let socket = bind::udp(local)?;
        let local = socket.local_addr()?;
        let index = usize::from(destination.port()) % workers.len().max(1);
        let runtime = workers.get(index).ok_or(io::ErrorKind::NotConnected)?.runtime();
        let _entered = runtime.enter();
        let socket = tokio::net::UdpSocket::from_std(socket)?;
        let associations = Arc::new(Associations::new(socket, destination, shared.clone(), runtime.clone()));
        let task = runtime.spawn(associations.clone().serve());
        Ok(Self { local, tcp: Vec::new(), udp: Some(associations), tasks: vec![task] })
    }

    pub(super) const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Removes stale associations.
    pub(super) fn purge(&self, stale: &StaleFlows) {
        if let Some(associations) = &self.udp {
            associations.purge(stale);
        }
    }

    /// The number of UDP associations.
    pub(super) fn associations(&self) -> usize {
        self.udp.as_ref().map_or(0, |associations| associations.len())
    }

    /// Stops listening, and waits until no new traffic is accepted. The returned associations still carry replies.
    pub(super) async fn close(mut self) -> Option<Arc<Associations>> {
        self.stop_listening();
        for task in std::mem::take(&mut self.tasks) {
            task.abort();
            // The error says that the task was aborted, which is what this waits for.
            let _ = task.await;
        }
        self.udp.take()
    }

    /// Stops listening at once, before the tasks have ended.
    fn stop_listening(&self) {
        for socket in &self.tcp {
            // Linux stops a listener by shutdown(2). Where that is not supported, the listener closes with its task.
            let _ = SockRef::from(&**socket).shutdown(Shutdown::Both);
        }
        if let Some(associations) = &self.udp {
            associations.release_address();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop_listening();
        self.tasks.iter().for_each(JoinHandle::abort);
        if let Some(associations) = &self.udp {
            associations.clear();
        }
    }
}
