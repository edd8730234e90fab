//! The forwarder: listens as snapshots say, and ends in order.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    BindError, ForwarderBuilder, SnapshotHandle, Stats,
    listening::Listening,
    live::{Key, Path},
    shared::Shared,
    worker::Worker,
};
use crate::{Changes, Flow, Frontend, Mode, Snapshot, object::Protocol};

/// Carries TCP and UDP to the endpoints that a [`Proxier`](crate::Proxier) decides on.
///
/// Dropping it ends everything at once: listeners, connections, associations and its threads.
pub struct Forwarder {
    pub(super) shared: Arc<Shared>,
    pub(super) listening: Mutex<BTreeMap<Key, Listening>>,
    pub(super) workers: Vec<Worker>,
    pub(super) listen_at: Box<dyn Fn(Protocol, SocketAddr) -> Option<SocketAddr> + Send + Sync>,
}

/// How a [`shutdown`](Forwarder::shutdown) went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainStats {
    /// TCP connections that were cut when the time was over.
    pub connections_cut: usize,
    /// UDP associations that were cut when the time was over.
    pub associations_cut: usize,
}

impl Forwarder {
    /// What to tell it before it starts.
    pub fn builder() -> ForwarderBuilder {
        ForwarderBuilder::new()
    }

    /// Follows what a sync has led to: opens and closes listeners, decides new flows by the new snapshot, and forgets
    /// stale UDP flows. All of that has happened when it returns, but for UDP sockets, which are closed a moment later;
    /// it does not wait for anything.
    ///
    /// Returns the addresses that should be listened at and are not. They are tried again with each call.
    ///
    /// Publish every [`Changes`] in order: stale flows are told once. Walks through all addresses of all Services.
    #[must_use = "addresses that cannot be listened at are returned"]
    pub fn publish(&self, changes: &Changes) -> Vec<BindError> {
        let mut listening = self.lock();
        self.shared.published.store(changes.snapshot.clone());
        listening.values().for_each(|one| one.purge(&changes.stale_flows));
        let failed = self.follow(&mut listening, &changes.snapshot);
        self.drain_removed(&changes.snapshot);
        failed
    }

    /// Where it listens for what is sent to an address of a Service; `None` if it does not.
    #[must_use]
    pub fn local_addr(&self, protocol: Protocol, destination: SocketAddr) -> Option<SocketAddr> {
        self.lock().get(&Key { protocol, destination }).map(|one| one.local)
    }

    /// The snapshot that new flows are decided by, to dial by it too: [`Dialer::new`](super::Dialer::new).
    #[must_use]
    pub fn published(&self) -> SnapshotHandle {
        self.shared.published.clone()
    }

    /// What it has done so far, and what it is doing.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let associations = self.lock().values().map(Listening::associations).sum();
        Stats::of(&self.shared.stats, self.connections(), associations)
    }

    /// Takes nothing new, lets what there is come to its end for at most `endpoint_timeout`, and cuts what is left then.
    /// Associations end when they have been idle for their time.
    ///
    /// Cancelling it drops the forwarder, which ends everything at once.
    pub async fn shutdown(mut self, patience: Duration) -> DrainStats {
        let listening = std::mem::take(&mut *self.lock());
        let mut tables = Vec::new();
        for (_, one) in listening {
            tables.extend(one.close().await);
        }
        let settings = &self.shared.settings;
        let all_gone = async {
            // All permits at hand are no connection left. An error would be a closed semaphore, which nobody closes.
            let _ = self.shared.connections.acquire_many(settings.max_connections).await;
            let _ = self.shared.associations.acquire_many(settings.max_associations).await;
        };
        let in_time = tokio::time::timeout(patience, all_gone).await.is_ok();
        let drained = match in_time {
            true => DrainStats { connections_cut: 0, associations_cut: 0 },
            false => DrainStats {
                connections_cut: self.connections(),
                associations_cut: tables.iter().map(|table| table.len()).sum(),
            },
        };
        tables.iter().for_each(|table| table.clear());
        self.workers.iter().for_each(|worker| worker.live.abort_all());
        for worker in &mut self.workers {
            worker.stop().await;
        }
        // On a runtime that goes on, the tasks have to be seen to end, so that their sockets are closed.
        let _ = self.shared.connections.acquire_many(settings.max_connections).await;
        let _ = self.shared.associations.acquire_many(settings.max_associations).await;
        drained
    }

    fn connections(&self) -> usize {
        self.workers.iter().map(|worker| worker.live.len()).sum()
    }

    /// Listens where it should, and nowhere else.
    fn follow(&self, listening: &mut BTreeMap<Key, Listening>, snapshot: &Snapshot) -> Vec<BindError> {
        let mut known = BTreeSet::new();
        let mut wanted = BTreeSet::new();
        for frontend in snapshot.frontends() {
            let key = Key { protocol: frontend.protocol, destination: frontend.address };
            known.insert(key);
            if is_listened_at(&frontend, snapshot) {
                wanted.insert(key);
            }
        }
        // Associations that are not stale go on where the Service is still there.
        listening.retain(|key, one| wanted.contains(key) || known.contains(key) && one.associations() > 0);
        let missing = wanted.into_iter().filter(|key| !listening.contains_key(key)).collect::<Vec<_>>();
        missing.into_iter().filter_map(|key| self.open(listening, key)).collect()
    }

    fn open(&self, listening: &mut BTreeMap<Key, Listening>, key: Key) -> Option<BindError> {
        let Key { protocol, destination } = key;
        let local = (self.listen_at)(protocol, destination)?;
        match Listening::open(protocol, destination, local, &self.shared, &self.workers) {
            Ok(one) => {
                listening.insert(key, one);
                None
            }
            Err(source) => Some(BindError { protocol, destination, local, source: Arc::new(source) }),
        }
    }

    fn drain_removed(&self, snapshot: &Snapshot) {
        let Some(after) = self.shared.settings.drain else { return };
        let is_over = |path: &Path| {
            // Whose address it is does not depend on who asks.
            let flow = Flow::tcp(path.destination, path.destination);
            let serves = |endpoint: &crate::EndpointInfo| endpoint.addr == path.endpoint && endpoint.serving;
            !snapshot.lookup(&flow).is_some_and(|port| port.endpoints().iter().any(serves))
        };
        self.workers.iter().for_each(|worker| worker.live.drain(after, &worker.runtime, is_over));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Listening>> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forwarder")
            .field("listening", &self.lock().keys())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// Whether there is a socket for an address. Where the rules refuse everybody, there is none, and the kernel refuses in
/// the same way as if the rules did it. Userspace kube-proxy always has one.
fn is_listened_at(frontend: &Frontend<'_>, snapshot: &Snapshot) -> bool {
    let is_carried = matches!(frontend.protocol, Protocol::Tcp | Protocol::Udp);
    is_carried && (*snapshot.config().mode() == Mode::Userspace || frontend.port.usable().has_any)
}
