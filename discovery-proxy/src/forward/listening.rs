//! What is listened at, and by which tasks.

use std::{
    io,
    net::{Shutdown, SocketAddr},
    sync::Arc,
};

use socket2::SockRef;
use tokio::{net::TcpListener, task::JoinHandle};

use super::{bind, shared::Shared, tcp, udp, worker::Worker};
use crate::{StaleFlows, object::Protocol};

/// One address that is listened at.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) local: SocketAddr,
    listeners: Vec<Arc<TcpListener>>,
    tasks: Vec<JoinHandle<()>>,
    datagrams: Option<Arc<udp::Table>>,
}

impl Listening {
    /// Listens at `local` for what is sent to `destination`. With several workers, each has a listener of its own.
    pub(super) fn open(
        protocol: Protocol,
        destination: SocketAddr,
        local: SocketAddr,
        shared: &Arc<Shared>,
        workers: &[Worker],
    ) -> io::Result<Self> {
        match protocol {
            Protocol::Udp => Self::datagrams(destination, local, shared, workers),
            _ => Self::connections(destination, local, shared, workers),
        }
    }

    fn connections(
        destination: SocketAddr,
        mut local: SocketAddr,
        shared: &Arc<Shared>,
        workers: &[Worker],
    ) -> io::Result<Self> {
        // All or none: a listener that is closed again would reset what has come meanwhile.
        let mut listeners = Vec::new();
        for _ in workers {
            let listener = bind::tcp(local, workers.len() > 1, shared.settings.keepalive)?;
            local = listener.local_addr()?;
            listeners.push(listener);
        }
        let mut open = Self { local, listeners: Vec::new(), tasks: Vec::new(), datagrams: None };
        for (worker, listener) in workers.iter().zip(listeners) {
            let _entered = worker.runtime.enter();
            let listener = Arc::new(TcpListener::from_std(listener)?);
            let task = tcp::serve(listener.clone(), destination, shared.clone(), worker.live.clone());
            open.tasks.push(worker.runtime.spawn(task));
            open.listeners.push(listener);
        }
        Ok(open)
    }

    /// One socket: datagrams of a client have to meet its association.
    fn datagrams(
        destination: SocketAddr,
        local: SocketAddr,
        shared: &Arc<Shared>,
        workers: &[Worker],
    ) -> io::Result<Self> {
        let socket = bind::udp(local)?;
        let local = socket.local_addr()?;
        let at = usize::from(destination.port()) % workers.len().max(1);
        let worker = workers.get(at).ok_or(io::ErrorKind::NotConnected)?;
        let _entered = worker.runtime.enter();
        let socket = tokio::net::UdpSocket::from_std(socket)?;
        let table = Arc::new(udp::Table::new(socket, destination, shared.clone(), worker.runtime.clone()));
        let task = worker.runtime.spawn(udp::serve(table.clone()));
        Ok(Self { local, listeners: Vec::new(), tasks: vec![task], datagrams: Some(table) })
    }

    /// Forgets stale associations.
    pub(super) fn purge(&self, stale: &StaleFlows) {
        if let Some(table) = &self.datagrams {
            table.purge(stale);
        }
    }

    /// The UDP associations that there are.
    pub(super) fn associations(&self) -> usize {
        self.datagrams.as_ref().map_or(0, |table| table.len())
    }

    /// Takes nothing new from now on, and resolves when that is so. The table carries replies that still come.
    pub(super) async fn close(mut self) -> Option<Arc<udp::Table>> {
        self.stop_listening();
        for task in std::mem::take(&mut self.tasks) {
            task.abort();
            // It was aborted, which is what is waited for.
            let _ = task.await;
        }
        self.datagrams.take()
    }

    /// At once, and not when the tasks have been seen to end.
    fn stop_listening(&self) {
        for listener in &self.listeners {
            // Where that does nothing (Linux knows it, others may not), the listener goes with its task.
            let _ = SockRef::from(&**listener).shutdown(Shutdown::Both);
        }
        if let Some(table) = &self.datagrams {
            table.give_up();
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.stop_listening();
        self.tasks.iter().for_each(JoinHandle::abort);
        if let Some(table) = &self.datagrams {
            table.clear();
        }
    }
}
