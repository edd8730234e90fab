//! The forwarder: listens for the addresses of a snapshot, and shuts down in order.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    BindError, ForwarderBuilder, Shared, SnapshotHandle, Stats, builder::ListenAt, listener::Listener, worker::Worker,
};
use crate::{Changes, EndpointInfo, Flow, Frontend, Mode, Snapshot, address::canonical, object::Protocol};

/// Forwards TCP and UDP to the endpoints that a [`Proxier`](crate::Proxier) chooses.
///
/// Dropping it ends everything at once: listeners, connections, associations and its threads.
pub struct Forwarder {
    shared: Arc<Shared>,
    listeners: Mutex<BTreeMap<Key, Listener>>,
    workers: Vec<Worker>,
    listen_at: Box<ListenAt>,
}

/// An address of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    protocol: Protocol,
    destination: SocketAddr,
}

/// The result of a [`shutdown`](Forwarder::shutdown).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainStats {
    /// The TCP connections that were cut at the timeout.
    pub connections_cut: usize,
    /// The UDP associations that were cut at the timeout.
    pub associations_cut: usize,
}

impl Forwarder {
    /// Returns a builder with the default settings.
    pub fn builder() -> ForwarderBuilder {
        ForwarderBuilder::new()
    }

    pub(super) fn new(shared: Arc<Shared>, workers: Vec<Worker>, listen_at: Box<ListenAt>) -> Self {
        Self { shared, listeners: Mutex::default(), workers, listen_at }
    }

    /// Applies the changes of a sync: opens and closes listeners, decides new flows by the new snapshot, and forgets stale
    /// UDP flows.
    ///
    /// All of that has happened when it returns, except that UDP sockets are closed a moment later. It does not block.
    /// Its cost grows with the number of addresses of all Services.
    ///
    /// Returns an error for each address that it cannot listen for. Each call tries those addresses again.
    ///
    /// Publish every [`Changes`] in order, because each stale flow is reported only once.
    #[must_use = "returns the addresses that it cannot listen for"]
    pub fn publish(&self, changes: &Changes) -> Vec<BindError> {
        let mut listeners = self.lock();
        self.shared.handle.store(changes.snapshot.clone());
        listeners.values().for_each(|listener| listener.purge(&changes.stale_flows));
        let errors = self.update_listeners(&mut listeners, &changes.snapshot);
        self.drain_removed(&changes.snapshot);
        errors
    }

    /// Returns where the forwarder listens for traffic to an address of a Service; `None` if it does not listen for it.
    #[must_use]
    pub fn local_addr(&self, protocol: Protocol, destination: SocketAddr) -> Option<SocketAddr> {
        self.lock().get(&Key { protocol, destination: canonical(destination) }).map(Listener::local_addr)
    }

    /// Returns a handle to the snapshot that decides new flows, for example for [`Dialer::new`](super::Dialer::new).
    #[must_use]
    pub fn snapshot_handle(&self) -> SnapshotHandle {
        self.shared.handle.clone()
    }

    /// Returns what the forwarder has done since it started, and what it carries now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let associations = self.lock().values().map(Listener::associations).sum();
        self.shared.counters.stats(self.connections(), associations)
    }

    /// Stops listening, waits up to `timeout` for connections and associations to end, and cuts those that remain.
    ///
    /// Connections end when both sides have ended them, associations when they have been idle for
    /// [`udp_idle_timeout`](ForwarderBuilder::udp_idle_timeout). Dropping the future drops the forwarder, which ends
    /// everything at once.
    pub async fn shutdown(mut self, timeout: Duration) -> DrainStats {
        let listeners = std::mem::take(&mut *self.lock());
        let mut associations = Vec::new();
        for (_, listener) in listeners {
            associations.extend(listener.close().await);
        }
        let in_time = tokio::time::timeout(timeout, self.shared.all_ended()).await.is_ok();
        let stats = match in_time {
            true => DrainStats { connections_cut: 0, associations_cut: 0 },
            false => DrainStats {
                connections_cut: self.connections(),
                associations_cut: associations.iter().map(|table| table.len()).sum(),
            },
        };
        associations.iter().for_each(|table| table.clear());
        self.workers.iter().for_each(Worker::abort_connections);
        for worker in &mut self.workers {
            worker.stop().await;
        }
        // The caller's runtime keeps running, so wait until the tasks have ended and their sockets are closed.
        self.shared.all_ended().await;
        stats
    }

    fn connections(&self) -> usize {
        self.workers.iter().map(|worker| worker.connections().len()).sum()
    }

    /// Opens the listeners that the snapshot needs, and closes the others.
    fn update_listeners(&self, listeners: &mut BTreeMap<Key, Listener>, snapshot: &Snapshot) -> Vec<BindError> {
        let mut known = BTreeSet::new();
        let mut wanted = BTreeSet::new();
        for frontend in snapshot.frontends() {
            let key = Key { protocol: frontend.protocol, destination: frontend.address };
            known.insert(key);
            if needs_listener(&frontend, snapshot) {
                wanted.insert(key);
            }
        }
        // Associations that are not stale continue while the Service exists.
        listeners.retain(|key, listener| wanted.contains(key) || known.contains(key) && listener.associations() > 0);
        let missing = wanted.into_iter().filter(|key| !listeners.contains_key(key)).collect::<Vec<_>>();
        missing.into_iter().filter_map(|key| self.open(listeners, key)).collect()
    }

    fn open(&self, listeners: &mut BTreeMap<Key, Listener>, key: Key) -> Option<BindError> {
        let Key { protocol, destination } = key;
        let local = (self.listen_at)(protocol, destination)?;
        match Listener::open(protocol, destination, local, &self.shared, &self.workers) {
            Ok(listener) => {
                listeners.insert(key, listener);
                None
            }
            Err(source) => Some(BindError::new(protocol, destination, local, source)),
        }
    }

    /// Drains the connections whose endpoint no longer serves.
    fn drain_removed(&self, snapshot: &Snapshot) {
        let Some(after) = self.shared.settings.drain_removed_after else { return };
        let is_removed = |destination: SocketAddr, endpoint: SocketAddr| {
            // The lookup reads the destination only.
            let flow = Flow::tcp(destination, destination);
            let serves = |info: &EndpointInfo| info.addr == endpoint && info.serving;
            !snapshot.lookup(&flow).is_some_and(|port| port.endpoints().iter().any(serves))
        };
        self.workers.iter().for_each(|worker| worker.drain(after, is_removed));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Listener>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forwarder")
            .field("listeners", &self.lock().keys())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// Whether an address needs a socket. Where the rules reject every client it does not, and the kernel rejects them in the
/// same way. Userspace kube-proxy always opens one.
fn needs_listener(frontend: &Frontend<'_>, snapshot: &Snapshot) -> bool {
    let is_carried = matches!(frontend.protocol, Protocol::Tcp | Protocol::Udp);
    is_carried && (*snapshot.config().mode() == Mode::Userspace || frontend.port.usable().has_any)
}
