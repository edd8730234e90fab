//! Bounds the queries in flight: those to one nameserver, and those of the process.
//!
//! With a silent nameserver each query stays in flight for its whole timeout. Without a bound, a thousand targets hold
//! thousands of sockets, and the application's own connections fail because no file descriptor is left. So a query
//! needs a place before it is sent. The others wait, by urgency: first answers before requested rounds before
//! refreshes.
//!
//! The descriptors belong to the process, so all of its resolvers have one [`Shared`].

mod descriptors;
mod queue;

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::sync::oneshot;

pub(super) use self::descriptors::{KeptConnection, SpareSocket, exhausted};
use self::queue::{LaneId, LaneLimits, Occupancy, Queue, Ticket};
use crate::{Error, clock, error::Kind, source::Urgency};

/// How many queries to one nameserver are in flight at most, unless `DISCOVERY_DNS_IN_FLIGHT` sets it. A CoreDNS that
/// answers in 1 ms serves 64 000 queries a second over so many places.
pub(super) const DEFAULT_IN_FLIGHT: usize = 64;

/// How long a query waits for a place: libc's timeout of one query (resolv.conf(5)). Its round fails then, and is
/// repeated after a backoff.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// A place returns after twice the timeout of a query, and not before this time.
const MIN_HOLD: Duration = Duration::from_secs(10);

/// The queue of this process.
static OF_THIS_PROCESS: LazyLock<Arc<Shared>> = LazyLock::new(|| Arc::new(Shared::new(descriptors::queries)));

/// The way to one nameserver, for all targets of one resolver.
#[derive(Debug)]
pub(super) struct Gate {
    shared: Arc<Shared>,
    lane: LaneId,
    limits: LaneLimits,
    server: SocketAddr,
}

impl Gate {
    /// `in_flight` is the number of places, and `timeout` that of one query.
    pub(super) fn new(server: SocketAddr, in_flight: usize, timeout: Duration) -> Self {
        Self::of(OF_THIS_PROCESS.clone(), server, in_flight, timeout)
    }

    fn of(shared: Arc<Shared>, server: SocketAddr, in_flight: usize, timeout: Duration) -> Self {
        let limits = LaneLimits { places: in_flight.max(1), hold: timeout.saturating_mul(2).max(MIN_HOLD) };
        let lane = LaneId(shared.lanes.fetch_add(1, Ordering::Relaxed));
        Self { shared, lane, limits, server }
    }

    /// The address of the nameserver.
    pub(super) fn server(&self) -> SocketAddr {
        self.server
    }

    /// Waits for a place, in the order of the [urgency](Urgency::current). Adds the time to `waited`.
    ///
    /// Cancel-safe: a query that no longer waits leaves its place to the next one.
    ///
    /// # Errors
    /// [`Error::is_timeout`] if no place became free within [`MAX_WAIT`].
    pub(super) async fn enter(&self, query: &impl fmt::Display, waited: &mut Duration) -> Result<Place, Error> {
        let began = clock::now();
        let place = tokio::time::timeout(MAX_WAIT, Waiting::join(self)).await;
        *waited += clock::now().saturating_duration_since(began);
        match place {
            Ok(Some(place)) => Ok(place),
            Ok(None) | Err(_) => Err(self.full(query)),
        }
    }

    fn full(&self, query: &impl fmt::Display) -> Error {
        let Occupancy { in_flight, waiting } = self.shared.lock().queue.occupancy(self.lane);
        let (server, limit) = (self.server, self.limits.places);
        let reason = if in_flight >= limit {
            format!(
                "it does not answer fast enough, and {limit} queries to it are in flight, with {waiting} more waiting; \
                 check the nameserver, or raise DISCOVERY_DNS_IN_FLIGHT"
            )
        } else {
            let places = (self.shared.capacity)();
            format!(
                "all places that the limit of open files leaves to DNS ({places}) were taken, {in_flight} of them by \
                 queries to it; raise the limit (`ulimit -n`, RLIMIT_NOFILE)"
            )
        };
        Error::new(
            Kind::Timeout,
            format!("query {query} waited {MAX_WAIT:?} to be sent to nameserver {server}: {reason}"),
        )
    }
}

/// The right to have one query in flight, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    shared: Arc<Shared>,
    lane: LaneId,
    ticket: Ticket,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.leave(self.lane, self.ticket);
    }
}

/// A query that waits for its place.
struct Waiting<'a> {
    gate: &'a Gate,
    ticket: Ticket,
    urgency: Urgency,
    place: oneshot::Receiver<Place>,
}

impl<'a> Waiting<'a> {
    fn join(gate: &'a Gate) -> Self {
        let urgency = Urgency::current();
        let (sender, place) = oneshot::channel();
        let ticket = {
            let mut state = gate.shared.lock();
            let ticket = state.queue.join(gate.lane, gate.limits, urgency);
            state.waiting.insert(ticket, (gate.lane, sender));
            ticket
        };
        gate.shared.admit();
        Self { gate, ticket, urgency, place }
    }
}

impl Future for Waiting<'_> {
    /// `None` if the queue has lost the query, which it does not.
    type Output = Option<Place>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let urgency = Urgency::current();
        if urgency > self.urgency {
            self.gate.shared.lock().queue.raise(self.gate.lane, self.ticket, self.urgency, urgency);
            self.urgency = urgency;
        }
        Pin::new(&mut self.place).poll(cx).map(Result::ok)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // A place that has been handed over is not in the list any more: its own drop returns it.
        let waited = self.gate.shared.lock().waiting.remove(&self.ticket);
        if waited.is_some() {
            self.gate.shared.leave(self.gate.lane, self.ticket);
        }
    }
}

/// The queue, and how to reach those that wait in it.
struct Shared {
    state: Mutex<SharedState>,
    /// The number of places of the process at this moment.
    capacity: fn() -> usize,
    /// The next [`LaneId`].
    lanes: AtomicU64,
}

#[derive(Default)]
struct SharedState {
    queue: Queue,
    waiting: BTreeMap<Ticket, (LaneId, oneshot::Sender<Place>)>,
}

impl Shared {
    fn new(capacity: fn() -> usize) -> Self {
        Self { state: Mutex::default(), capacity, lanes: AtomicU64::new(0) }
    }

    /// Gives the free places to those that wait.
    fn admit(self: &Arc<Self>) {
        let (capacity, now) = ((self.capacity)(), clock::now());
        loop {
            let (ticket, lane, sender) = {
                let mut state = self.lock();
                let Some(ticket) = state.queue.admit(capacity, now) else { return };
                match state.waiting.remove(&ticket) {
                    Some((lane, sender)) => (ticket, lane, sender),
                    None => continue,
                }
            };
            // Outside of the lock: if the query no longer waits, its place is dropped here and returns to the queue.
            let place = Place { shared: self.clone(), lane, ticket };
            let _ = sender.send(place);
        }
    }

    fn leave(self: &Arc<Self>, lane: LaneId, ticket: Ticket) {
        self.lock().queue.leave(lane, ticket);
        self.admit();
    }

    fn lock(&self) -> MutexGuard<'_, SharedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("queue", &self.lock().queue).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::RoundUrgency;

    const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 53);

    fn gate(capacity: fn() -> usize, in_flight: usize) -> Gate {
        Gate::of(Arc::new(Shared::new(capacity)), SERVER, in_flight, Duration::from_secs(1))
    }

    async fn enter(gate: &Gate) -> Result<Place, Error> {
        gate.enter(&"A a.b.", &mut Duration::default()).await
    }

    /// Whether a query waits that has been polled once.
    fn waits<F: Future>(query: Pin<&mut F>) -> bool {
        query.poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending()
    }

    #[tokio::test(start_paused = true)]
    async fn a_query_that_is_dropped_leaves_its_place_to_the_next_one() {
        let gate = gate(|| 100, 1);
        let first = enter(&gate).await.unwrap();
        let mut waiting = Box::pin(enter(&gate));
        let mut last = Box::pin(enter(&gate));
        assert!(waits(waiting.as_mut()) && waits(last.as_mut()));
        drop(waiting);
        drop(first);
        let place = last.await.unwrap();

        // The place has been handed over, but the query is dropped before it takes it.
        let mut waiting = Box::pin(enter(&gate));
        assert!(waits(waiting.as_mut()));
        drop(place);
        drop(waiting);
        drop(enter(&gate).await.unwrap());
        let state = gate.shared.lock();
        assert_eq!((state.queue.occupancy(gate.lane), state.waiting.len()), (Occupancy::default(), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_query_that_waits_too_long_fails_with_the_nameserver_and_the_bound() {
        let full = gate(|| 100, 2);
        let _places = [enter(&full).await.unwrap(), enter(&full).await.unwrap()];
        let (began, mut waited) = (clock::now(), Duration::ZERO);
        let error = full.enter(&"A a.b.", &mut waited).await.unwrap_err();
        assert_eq!((clock::now() - began, waited), (MAX_WAIT, MAX_WAIT));
        assert!(error.is_timeout());
        let text = error.to_string();
        assert!(text.starts_with("query A a.b. waited 5s to be sent to nameserver 127.0.0.1:53: "), "{text}");
        assert!(text.contains("2 queries to it are in flight") && text.contains("DISCOVERY_DNS_IN_FLIGHT"), "{text}");

        let few = gate(|| 1, 2);
        let _place = enter(&few).await.unwrap();
        let text = enter(&few).await.unwrap_err().to_string();
        assert!(text.contains("all places that the limit of open files leaves to DNS (1) were taken"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_that_becomes_more_urgent_while_it_waits_overtakes() {
        let gate = gate(|| 100, 1);
        let first = enter(&gate).await.unwrap();
        let round = RoundUrgency::new(Urgency::Refresh);
        let early = RoundUrgency::new(Urgency::Requested);
        let mut requested = Box::pin(early.scope(enter(&gate)));
        let mut refresh = Box::pin(round.scope(enter(&gate)));
        assert!(waits(requested.as_mut()) && waits(refresh.as_mut()));
        round.raise(Urgency::FirstAnswer);
        assert!(waits(refresh.as_mut()), "polled, as the task does after it has raised the urgency");
        drop(first);
        assert!(waits(requested.as_mut()));
        drop(refresh.await.unwrap());
        requested.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_those_of_all_resolvers_of_the_process() {
        let one = gate(|| 1, 64);
        let other = Gate::of(one.shared.clone(), SERVER, 64, Duration::from_secs(1));
        let place = enter(&one).await.unwrap();
        let mut waiting = Box::pin(enter(&other));
        assert!(waits(waiting.as_mut()));
        drop(place);
        waiting.await.unwrap();
    }
}
