//! A scripted API server: lists and watches of two resources, and its failures.

mod connection;
mod state;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

pub(crate) use state::{Answer, Mode, State};
use tests::PATIENCE;
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_rustls::TlsAcceptor;

/// An API server on a port of loopback, over plain HTTP unless it is started with TLS.
pub(crate) struct ApiServer {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<tokio::task::JoinHandle<()>>,
    tls: Option<TlsAcceptor>,
}

pub(crate) struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

impl ApiServer {
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    /// Starts over TLS.
    pub(crate) async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let shared = Arc::new(Shared { state: Mutex::new(State::new()), changed: watch::Sender::new(0) });
        let mut server = Self { addr: ([127, 0, 0, 1], 0).into(), shared, accepting: None, tls };
        server.accept().await;
        server
    }

    /// Kills the server and cuts all connections, even within an answer.
    pub(crate) async fn kill(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            let _ = accepting.await;
        }
    }

    /// Listens again on the same port.
    pub(crate) async fn accept(&mut self) {
        let listener = TcpListener::bind(self.addr).await.unwrap();
        self.addr = listener.local_addr().unwrap();
        let (shared, tls) = (self.shared.clone(), self.tls.clone());
        let accept = async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, tls) = (shared.clone(), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => connection::serve(stream, shared).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                connection::serve(stream, shared).await;
                            }
                        }
                    }
                });
            }
        };
        self.accepting = Some(tokio::spawn(accept));
    }

    pub(crate) fn port(&self) -> u16 {
        self.addr.port()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Creates or replaces an object, by its kind and name, and notifies all watches.
    pub(crate) fn apply(&self, object: &str) {
        self.with(|state| state.apply(object));
    }

    pub(crate) fn delete(&self, kind: &str, name: &str) {
        self.with(|state| state.delete(kind, name));
    }

    /// Changes how the server answers.
    pub(crate) fn set(&self, mode: Mode) {
        self.with(|state| state.mode = mode);
    }

    /// Deletes all objects without events and restarts the versions, as with an empty etcd.
    pub(crate) fn wipe(&self) {
        self.with(State::wipe);
    }

    /// Changes the state, and wakes the watches and the waiting tests.
    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let result = change(&mut self.shared.state());
        self.shared.notify();
        result
    }

    /// The number of requests whose journal line begins with `what`, such as `list endpointslices`.
    pub(crate) fn count(&self, what: &str) -> usize {
        self.shared.state().journal.iter().filter(|line| line.starts_with(what)).count()
    }

    pub(crate) fn journal(&self) -> Vec<String> {
        self.shared.state().journal.clone()
    }

    /// Waits until the state satisfies `is`.
    pub(crate) async fn until(&self, what: &str, is: impl Fn(&State) -> bool) {
        let mut changed = self.shared.changed.subscribe();
        let reached = changed.wait_for(|_| is(&self.shared.state()));
        if tokio::time::timeout(PATIENCE, reached).await.is_err() {
            panic!("{what}: not within {PATIENCE:?}; {:#?}", self.journal());
        }
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
    }
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn notify(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
