//! UDP: an association for each client, which has its own socket to the endpoint.
//!
//! | | userspace kube-proxy | the kernel's modes | here |
//! |---|---|---|---|
//! | idle timeout | `--udp-timeout`, 250 ms | `nf_conntrack_udp_timeout`, 30 s | 30 s; `udp_idle_timeout` |
//! | kept alive by | both directions | both directions | both directions |
//! | datagram size | truncated to 4096 bytes | any | any |
//! | table full | no limit | an entry without a reply gives way, else dropped | as in the kernel, and counted |
//! | endpoint does not listen | the association ends | the flow stays until a change arrives | as in the proxy's mode |
//! | endpoint removed | the flow stays until it is idle | conntrack entries are deleted | [`StaleFlows`] |

use std::{
    cell::RefCell,
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use socket2::SockRef;
use tokio::{
    net::UdpSocket, runtime::Handle, sync::OwnedSemaphorePermit, task::AbortHandle, task::coop, time::timeout_at,
};

use super::{
    Shared, bind, clock,
    dial::{Decision, decide_datagram},
    shares::{Refusal, Share},
    stats::Event,
};
use crate::{Connection, Flow, Mode, StaleFlows, TrackedFlow, object::Protocol};
use discovery_core::ThreadRng;

/// The size of the largest datagram.
const MAX_DATAGRAM: usize = 1 << 16;
/// How many datagrams are handled in a row before other tasks get a turn.
const BATCH: usize = 32;
/// How many associations are looked at for one that can give way.
const EVICT_ATTEMPTS: usize = 4;
/// The pause after a failure of the socket itself. An ICMP error is not such a failure.
const PAUSE: Duration = Duration::from_millis(20);

thread_local! {
    /// The buffer for all datagrams of a thread.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; MAX_DATAGRAM].into());
}

/// The associations of one destination address, and the socket that all clients send to.
#[derive(Debug)]
pub(super) struct Associations {
    socket: Arc<UdpSocket>,
    destination: SocketAddr,
    shared: Arc<Shared>,
    runtime: Handle,
    /// Uses the standard hasher, because clients choose the keys.
    by_client: Mutex<HashMap<SocketAddr, Entry>>,
}

/// An association and the task that carries its replies. Dropping it ends the task.
#[derive(Debug)]
struct Entry {
    association: Arc<Association>,
    replies: AbortHandle,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.replies.abort();
    }
}

impl Associations {
    pub(super) fn new(socket: UdpSocket, destination: SocketAddr, shared: Arc<Shared>, runtime: Handle) -> Self {
        Self { socket: Arc::new(socket), destination, shared, runtime, by_client: Mutex::default() }
    }

    /// Forwards the clients' datagrams until the task is aborted.
    pub(super) async fn serve(self: Arc<Self>) {
        loop {
            let failed = match self.socket.readable().await {
                Ok(()) => self.forward_batch().is_err(),
                Err(_) => true,
            };
            if failed {
                tokio::time::sleep(PAUSE).await;
            }
            coop::consume_budget().await;
        }
    }

    /// Removes the associations that a change has made stale. After it returns, no datagram goes to their endpoints.
    pub(super) fn purge(&self, stale: &StaleFlows) {
        let tracked = |entry: &Entry| TrackedFlow {
            protocol: Protocol::Udp,
            destination: self.destination,
            backend: entry.association.endpoint,
        };
        let mut entries = self.lock();
        let before = entries.len();
        entries.retain(|_, entry| !stale.contains(&tracked(entry)));
        self.shared.counters.add(Event::Purged, (before - entries.len()) as u64);
    }

    /// Lets another socket bind the address before this socket is closed.
    pub(super) fn release_address(&self) {
        // Where that is not supported, the address becomes free when this socket is closed.
        let _ = bind::release_udp(&*self.socket);
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Forwards the datagrams that have arrived, at most one batch.
    fn forward_batch(self: &Arc<Self>) -> io::Result<()> {
        BUFFER.with_borrow_mut(|buffer| {
            for _ in 0..BATCH {
                match self.socket.try_recv_from(buffer) {
                    Ok((n, client)) => self.forward(client, buffer.get(..n).unwrap_or_default()),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // An ICMP error: a reply did not reach its client.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        })
    }

    /// Forwards a client's datagram.
    fn forward(self: &Arc<Self>, client: SocketAddr, datagram: &[u8]) {
        let mut association = self.get_or_create(client);
        // An error belongs to an earlier datagram, which was lost: an ICMP message has arrived. This datagram was not
        // sent, so it is sent once more.
        for _ in 0..2 {
            let Some(one) = &association else { return };
            match one.send(datagram, clock::now()) {
                Ok(()) => return,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.shared.counters.add(Event::Lost, 1),
            }
            if self.ends_on_error() {
                self.remove(one);
                association = self.get_or_create(client);
            }
        }
        self.shared.counters.add(Event::Lost, 1);
    }

    fn get_or_create(self: &Arc<Self>, client: SocketAddr) -> Option<Arc<Association>> {
        // The decision is made under the lock. A purge either comes later and finds the association, or came before, in
        // which case the snapshot is already the new one.
        let mut entries = self.lock();
        if let Some(entry) = entries.get(&client) {
            return Some(entry.association.clone());
        }
        let association = self.create(client, &mut entries)?;
        let replies = association.clone().carry_replies(Arc::downgrade(self), self.socket.clone());
        let replies = self.runtime.spawn(replies).abort_handle();
        entries.insert(client, Entry { association: association.clone(), replies });
        self.shared.counters.add(Event::Associated, 1);
        Some(association)
    }

    fn create(
        self: &Arc<Self>,
        client: SocketAddr,
        entries: &mut HashMap<SocketAddr, Entry>,
    ) -> Option<Arc<Association>> {
        let (shared, now) = (&self.shared, clock::now());
        let place = self.place(client).or_else(|refusal| {
            // Within its share, a client takes the place of its own associations.
            let source = (refusal == Refusal::Source).then(|| client.ip());
            if self.evict(source, entries) { self.place(client) } else { Err(refusal) }
        });
        let Ok(place) = place else {
            shared.counters.add(Event::Lost, 1);
            return None;
        };
        let flow = Flow::udp(client, self.destination);
        let (endpoint, counted) = match decide_datagram(&shared.handle.load(), &flow, now, &mut ThreadRng::new()) {
            Decision::Endpoint(endpoint, counted) => (endpoint, counted),
            Decision::Reject => {
                shared.counters.add(Event::Refused, 1);
                return None;
            }
            Decision::Drop | Decision::Untouched | Decision::Attempts(_) => {
                shared.counters.add(Event::Dropped, 1);
                return None;
            }
        };
        let Ok(socket) = bind::udp_to(endpoint).and_then(UdpSocket::from_std) else {
            shared.counters.add(Event::Lost, 1);
            return None;
        };
        Some(Arc::new_cyclic(|association| Association {
            client,
            endpoint,
            socket,
            created: now,
            last_used: AtomicU64::new(0),
            idle_timeout: shared.settings.udp_idle_timeout,
            table: Arc::downgrade(self),
            shared: shared.clone(),
            unreplied: shared.unreplied.add(client.ip(), association.clone()),
            has_reply: AtomicBool::new(false),
            place: Mutex::new(Some(place)),
            _counted: counted,
        }))
    }

    fn place(&self, client: SocketAddr) -> Result<Place, Refusal> {
        let share = self.shared.association_shares.take(client.ip(), self.destination)?;
        let permit = self.shared.associations.clone().try_acquire_owned().map_err(|_| Refusal::Full)?;
        Ok(Place { _share: share, _permit: permit })
    }

    /// Ends the oldest association without a reply, of any Service, and returns its place; with `source`, the oldest
    /// one of this source address. `entries` are those of this table.
    fn evict(&self, source: Option<IpAddr>, entries: &mut HashMap<SocketAddr, Entry>) -> bool {
        for _ in 0..EVICT_ATTEMPTS {
            let Some(oldest) = self.shared.unreplied.take_oldest(source) else { return false };
            // An association that is about to end has returned its place, or is about to.
            let (Some(oldest), Some(table)) = (oldest.upgrade(), oldest.upgrade().and_then(|it| it.table.upgrade()))
            else {
                continue;
            };
            let removed = if std::ptr::eq(Arc::as_ptr(&table), self) {
                take(entries, &oldest)
            } else {
                // Waiting for another table, which may wait for this one, could take forever.
                table.by_client.try_lock().is_ok_and(|mut entries| take(&mut entries, &oldest))
            };
            if removed {
                drop(oldest.place.lock().unwrap_or_else(PoisonError::into_inner).take());
                self.shared.counters.add(Event::Evicted, 1);
                return true;
            }
        }
        false
    }

    /// Whether an endpoint that does not listen ends the association, as in userspace mode, where the next datagram
    /// gets another endpoint. The kernel's modes keep the flow at its endpoint.
    fn ends_on_error(&self) -> bool {
        *self.shared.handle.load().config().mode() == Mode::Userspace
    }

    /// Removes an association, unless its client has a newer one.
    fn remove(&self, association: &Arc<Association>) {
        take(&mut self.lock(), association);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Entry>> {
        self.by_client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes an association, unless its client has a newer one.
fn take(entries: &mut HashMap<SocketAddr, Entry>, association: &Arc<Association>) -> bool {
    let is_current = |entry: &Entry| Arc::ptr_eq(&entry.association, association);
    entries.get(&association.client).is_some_and(is_current) && entries.remove(&association.client).is_some()
}

/// The place of an association within the limits.
#[derive(Debug)]
struct Place {
    _share: Share,
    _permit: OwnedSemaphorePermit,
}

/// The path between one client and its endpoint. Datagrams of the client and replies of the endpoint use one socket.
#[derive(Debug)]
pub(super) struct Association {
    client: SocketAddr,
    endpoint: SocketAddr,
    socket: UdpSocket,
    created: Instant,
    /// When the association was last used, in nanoseconds since `created`.
    last_used: AtomicU64,
    idle_timeout: Duration,
    table: Weak<Associations>,
    shared: Arc<Shared>,
    /// The number among those without a reply.
    unreplied: u64,
    has_reply: AtomicBool,
    /// Returned early by an association that gives way.
    place: Mutex<Option<Place>>,
    _counted: Option<Box<Connection>>,
}

impl Drop for Association {
    fn drop(&mut self) {
        self.shared.unreplied.remove(self.unreplied);
    }
}

impl Association {
    /// Sends a datagram to the endpoint without the reactor: if the queue is full, the datagram is lost, as it would be
    /// in a router.
    fn send(&self, datagram: &[u8], now: Instant) -> io::Result<()> {
        self.touch(now);
        SockRef::from(&self.socket).send(datagram).map(|_| ())
    }

    fn touch(&self, now: Instant) {
        let age = now.saturating_duration_since(self.created).as_nanos();
        self.last_used.fetch_max(u64::try_from(age).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// When the association expires if it is not used again.
    fn expires(&self) -> Instant {
        self.created + Duration::from_nanos(self.last_used.load(Ordering::Relaxed)) + self.idle_timeout
    }

    /// Carries replies until the association has been idle in both directions for its timeout.
    async fn carry_replies(self: Arc<Self>, table: Weak<Associations>, to: Arc<UdpSocket>) {
        loop {
            let expires = self.expires();
            let goes_on = match timeout_at(expires.into(), self.socket.readable()).await {
                Ok(Ok(())) => table.upgrade().is_some_and(|table| self.forward_replies(&to, &table)),
                Ok(Err(_)) => false,
                // The association may have been used in the meantime.
                Err(_) => self.expires() > expires,
            };
            if !goes_on {
                break;
            }
            // A busy endpoint must not keep other tasks of the thread from running.
            coop::consume_budget().await;
        }
        if let Some(table) = table.upgrade() {
            table.remove(&self);
        }
    }

    /// Forwards the replies that have arrived, at most one batch. Returns false if the association has ended.
    fn forward_replies(&self, to: &UdpSocket, table: &Associations) -> bool {
        BUFFER.with_borrow_mut(|buffer| {
            for _ in 0..BATCH {
                match self.socket.try_recv(buffer) {
                    Ok(n) => {
                        self.touch(clock::now());
                        if !self.has_reply.swap(true, Ordering::Relaxed) {
                            self.shared.unreplied.remove(self.unreplied);
                        }
                        let datagram = buffer.get(..n).unwrap_or_default();
                        if SockRef::from(to).send_to(datagram, &self.client.into()).is_err() {
                            table.shared.counters.add(Event::Lost, 1);
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                    // An ICMP error: the endpoint does not listen, or cannot be reached.
                    Err(_) => {
                        table.shared.counters.add(Event::Lost, 1);
                        if table.ends_on_error() {
                            return false;
                        }
                    }
                }
            }
            true
        })
    }
}
