//! The associations of one address.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{net::UdpSocket, runtime::Handle};

use super::association::{Association, Entry};
use crate::forward::clock;
use crate::{
    Flow, Mode, StaleFlows, TrackedFlow,
    forward::{
        bind,
        shared::Shared,
        way::{Way, once},
    },
    object::Protocol,
};
use discovery_core::ThreadRng;

/// The associations of one address: who is there, and where each one's datagrams go.
#[derive(Debug)]
pub(in crate::forward) struct Table {
    pub(super) socket: Arc<UdpSocket>,
    destination: SocketAddr,
    pub(super) shared: Arc<Shared>,
    pub(super) runtime: Handle,
    /// The standard hasher: clients choose the keys.
    entries: Mutex<HashMap<SocketAddr, Entry>>,
}

impl Table {
    pub(in crate::forward) fn new(
        socket: UdpSocket,
        destination: SocketAddr,
        shared: Arc<Shared>,
        runtime: Handle,
    ) -> Self {
        Self { socket: Arc::new(socket), destination, shared, runtime, entries: Mutex::default() }
    }

    /// Sends a client's datagram on its way.
    pub(super) fn forward(self: &Arc<Self>, client: SocketAddr, datagram: &[u8]) {
        let mut association = self.association(client);
        // An error is of an earlier datagram, which is lost: an ICMP message has come. This one has not been sent, and is
        // sent again, once.
        for _ in 0..2 {
            let Some(one) = &association else { return };
            match one.send(datagram, clock::now()) {
                Ok(()) => return,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.shared.stats.lost.add(),
            }
            if self.ends_on_error() {
                self.remove(one);
                association = self.association(client);
            }
        }
        self.shared.stats.lost.add();
    }

    /// The client's association, perhaps a new one.
    fn association(self: &Arc<Self>, client: SocketAddr) -> Option<Arc<Association>> {
        // Decided under the lock: a purge comes either after this, and finds the association, or before, and then the
        // snapshot is the new one.
        let mut entries = self.lock();
        if let Some(entry) = entries.get(&client) {
            return Some(entry.association.clone());
        }
        let entry = self.associate(client)?;
        let association = entry.association.clone();
        entries.insert(client, entry);
        self.shared.stats.associated.add();
        Some(association)
    }

    fn associate(self: &Arc<Self>, client: SocketAddr) -> Option<Entry> {
        let (shared, now) = (&self.shared, clock::now());
        let Ok(permit) = shared.associations.clone().try_acquire_owned() else {
            shared.stats.lost.add();
            return None;
        };
        let flow = Flow::udp(client, self.destination);
        let (endpoint, counted) = match once(&shared.published.load(), &flow, now, &mut ThreadRng::new()) {
            Way::Once(endpoint, counted) => (endpoint, counted),
            Way::Refuse => {
                shared.stats.refused.add();
                return None;
            }
            Way::Silence | Way::Untouched | Way::Attempts(_) => {
                shared.stats.dropped.add();
                return None;
            }
        };
        let Ok(socket) = bind::udp_to(endpoint).and_then(UdpSocket::from_std) else {
            shared.stats.lost.add();
            return None;
        };
        let association =
            Association::new((client, endpoint), socket, (now, shared.settings.udp_idle), counted, permit);
        Some(Entry::start(association, self))
    }

    /// Whether an endpoint at which nobody listens ends the association, as in userspace mode, where the next datagram
    /// has another turn. The kernel keeps a flow where it is.
    pub(super) fn ends_on_error(&self) -> bool {
        *self.shared.published.load().config().mode() == Mode::Userspace
    }

    /// Forgets what a change has made stale. When this returns, no datagram goes there any more.
    pub(in crate::forward) fn purge(&self, stale: &StaleFlows) {
        let tracked = |entry: &Entry| TrackedFlow {
            protocol: Protocol::Udp,
            destination: self.destination,
            backend: entry.association.endpoint,
        };
        let mut entries = self.lock();
        let before = entries.len();
        entries.retain(|_, entry| !stale.contains(&tracked(entry)));
        self.shared.stats.purged.add_many((before - entries.len()) as u64);
    }

    /// Removes an association, unless its client has another one by now.
    pub(super) fn remove(&self, association: &Arc<Association>) {
        let mut entries = self.lock();
        if entries.get(&association.client).is_some_and(|entry| Arc::ptr_eq(&entry.association, association)) {
            entries.remove(&association.client);
        }
    }

    /// Lets another socket have the address, before this one is closed.
    pub(in crate::forward) fn give_up(&self) {
        // Where that cannot be, the address is free a little later.
        let _ = bind::give_up_udp(&*self.socket);
    }

    pub(in crate::forward) fn clear(&self) {
        self.lock().clear();
    }

    pub(in crate::forward) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
