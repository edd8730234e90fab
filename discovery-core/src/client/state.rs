//! The state of one target, shared by its background task and its handles.

use std::{
    collections::BTreeSet,
    fmt,
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::{Notify, watch};

use super::{
    explain::Explanation,
    lease::{Lease, Question, Term},
};
use crate::{
    Error, ThreadRng, clock,
    endpoint::{Endpoint, EndpointSet, Identity},
    entropy,
    name::Target,
    policy::{Listener, Pick, PickArgs, PickError, Policy, Snapshot, Tried},
    refresh::{Freshness, Refresh, RefreshSettings, View},
};

/// The state of one target.
pub(super) struct TargetState {
    target: Target,
    policy: Arc<dyn Policy>,
    current: ArcSwap<PublishedState>,
    explanation: ArcSwap<Explanation>,
    /// Changes with every publication, and when the background task ends.
    changes: watch::Sender<u64>,
    /// The generation of the current state, stored just before the state itself.
    generation: AtomicU64,
    /// Kept here and not in the task, so that a task on another runtime can continue where one was shut down.
    refresh: Mutex<Refresh>,
    reports: Arc<RequestReports>,
    waiting: AtomicUsize,
    watching: AtomicUsize,
    lease: Lease,
}

impl TargetState {
    pub(super) fn new(target: Target, policy: Arc<dyn Policy>, settings: RefreshSettings, now: Instant) -> Self {
        let set = Arc::new(EndpointSet::default());
        let reports = Arc::new(RequestReports::default());
        let listener: Arc<dyn Listener> = reports.clone();
        let snapshot = Snapshot::new(set.clone(), &*policy, now, entropy::seed(), Some(listener));
        let unknown = PublishedState { generation: 0, snapshot, freshness: Freshness::Unknown, error: None };
        Self {
            explanation: ArcSwap::from_pointee(Explanation::new(target.clone(), set)),
            target,
            policy,
            current: ArcSwap::from_pointee(unknown),
            changes: watch::Sender::new(0),
            generation: AtomicU64::new(0),
            refresh: Mutex::new(Refresh::new(settings, now)),
            reports,
            waiting: AtomicUsize::new(0),
            watching: AtomicUsize::new(0),
            lease: Lease::default(),
        }
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    pub(super) fn load(&self) -> Guard<Arc<PublishedState>> {
        self.current.load()
    }

    /// Whether nothing newer than `published` has been published. Cheaper than loading the current state; it may
    /// answer `false` a moment before the newer state is there.
    #[inline]
    pub(super) fn is_current(&self, published: &PublishedState) -> bool {
        self.generation.load(Ordering::Acquire) == published.generation
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Picks an endpoint of `published` and starts a request to it; returns its index in the set as well.
    #[inline]
    pub(super) fn pick(&self, published: &PublishedState, tried: &Tried) -> Result<(usize, Pick), Error> {
        published
            .snapshot
            .pick_indexed(&mut PickArgs::new(&clock::now, &mut ThreadRng::new(), tried))
            .map_err(|error| self.pick_error(published, error))
    }

    #[cold]
    fn pick_error(&self, published: &PublishedState, error: PickError) -> Error {
        let target = &self.target;
        if !error.is_no_endpoints() {
            let error = Error::from(error);
            return Error::new(error.kind(), format!("`{target}`: {error}"));
        }
        published.error.clone().unwrap_or_else(|| {
            Error::transient(match published.set().len() {
                0 => format!(
                    "`{target}` is not resolved yet: no source has answered; await `Upstream::first_answer` or \
                     `Upstream::ready` before the first pick"
                ),
                count => format!("`{target}` has no usable endpoint: none of the {count} known is ready or serving"),
            })
        })
    }

    pub(super) fn explanation(&self) -> Arc<Explanation> {
        self.explanation.load_full()
    }

    /// Replaces what readers see. Only [`Held::publish`] calls it.
    fn publish(&self, view: View, error: Option<Error>) {
        let before = self.current.load();
        let snapshot = before.snapshot.next(view.set.clone(), &*self.policy, entropy::seed());
        let error = error.filter(|_| view.set.is_empty());
        let generation = before.generation + 1;
        self.generation.store(generation, Ordering::Release);
        self.current.store(Arc::new(PublishedState { generation, snapshot, freshness: view.freshness, error }));
        self.notify();
    }

    /// Counts a caller that waits for endpoints, until the guard is dropped.
    pub(super) fn wait(&self) -> WaitGuard<'_> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        self.reports.arrive();
        WaitGuard(self)
    }

    /// Counts a caller that waits for changes, until the guard is dropped.
    pub(super) fn watch(self: &Arc<Self>) -> WatchGuard {
        self.watching.fetch_add(1, Ordering::AcqRel);
        WatchGuard(self.clone())
    }

    /// Whether callers wait for changes.
    pub(super) fn is_watched(&self) -> bool {
        self.watching.load(Ordering::Acquire) > 0
    }

    /// Asks the background task to query the sources again soon.
    pub(super) fn request_refresh(&self) {
        self.reports.refresh_requested.store(true, Ordering::Release);
        self.reports.arrive();
    }

    /// Completes when a request has reported something, or a standby has asked whether the task is driven.
    pub(super) async fn reported(&self) {
        self.reports.arrived.notified().await;
    }

    /// Claims the right to be the background task; `None` while another task holds it.
    pub(super) fn claim(self: &Arc<Self>) -> Option<TaskClaim> {
        self.lease.claim().map(|term| TaskClaim { state: self.clone(), term })
    }

    /// Asks the background task whether a runtime polls it. Returns `None` if no task is running.
    pub(super) fn ask(&self) -> Option<Question> {
        let question = self.lease.ask();
        self.reports.arrive();
        question
    }

    /// Replaces the background task if it has not answered `question`.
    pub(super) fn seize(self: &Arc<Self>, question: &Question) -> Option<TaskClaim> {
        // Locked: the task that is replaced publishes nothing from now on.
        let _refresh = lock(&self.refresh);
        let term = self.lease.seize(question)?;
        // The task that is replaced must learn of it as soon as it is driven again, to become a standby.
        self.reports.arrive();
        Some(TaskClaim { state: self.clone(), term })
    }

    #[inline]
    pub(super) fn is_running(&self) -> bool {
        self.lease.is_held()
    }

    fn notify(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

impl fmt::Debug for TargetState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TargetState").field("target", &self.target).field("current", &self.current.load()).finish()
    }
}

/// One published state: immutable, replaced as a whole.
#[derive(Debug)]
pub(super) struct PublishedState {
    /// Counts publications.
    generation: u64,
    snapshot: Snapshot,
    freshness: Freshness,
    /// Why the set is empty; `None` while it is not, or before the first answer.
    error: Option<Error>,
}

impl PublishedState {
    pub(super) fn set(&self) -> &Arc<EndpointSet> {
        self.snapshot.set()
    }

    /// Whether there are endpoints, or why not; `None` before the first answer.
    pub(super) fn answer(&self) -> Option<Result<(), &Error>> {
        if !self.set().is_empty() {
            return Some(Ok(()));
        }
        self.error.as_ref().map(Err)
    }

    /// Whether the last query failed.
    pub(super) fn is_failing(&self) -> bool {
        self.freshness.error().is_some()
    }
}

/// The current endpoints of an [`Upstream`](crate::Upstream).
///
/// Taking this view takes no lock and does not allocate. The view does not change while you hold it, so do not hold it
/// across an `.await` for long: take a new one instead.
pub struct Endpoints(Guard<Arc<PublishedState>>);

impl Endpoints {
    pub(super) fn new(state: &TargetState) -> Self {
        Self(state.load())
    }

    /// The set, to keep for longer.
    #[must_use]
    pub fn to_arc(&self) -> Arc<EndpointSet> {
        self.0.set().clone()
    }

    /// Whether the set is stale: the last query failed, and these are the last known endpoints.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        matches!(self.0.freshness, Freshness::Stale { .. })
    }
}

impl Deref for Endpoints {
    type Target = EndpointSet;

    fn deref(&self) -> &EndpointSet {
        self.0.set()
    }
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// What requests report to the background task.
#[derive(Debug, Default)]
struct RequestReports {
    unreachable: Mutex<BTreeSet<Identity>>,
    refresh_requested: AtomicBool,
    arrived: Notify,
}

impl Listener for RequestReports {
    fn unreachable(&self, endpoint: &Endpoint) {
        lock(&self.unreachable).insert(endpoint.identity().clone());
        self.arrive();
    }
}

impl RequestReports {
    /// Wakes the background task. Another task that is not driven any more may still be registered: it must not
    /// swallow the wake-up, so every registered task is woken, and one that is not registered yet as well.
    fn arrive(&self) {
        self.arrived.notify_waiters();
        self.arrived.notify_one();
    }
}

/// The right to be the background task of a target; at most one task has it. Dropping it gives the right back, even when
/// the task never ran because its runtime was shutting down. A task that is not driven loses it to another one.
pub(super) struct TaskClaim {
    state: Arc<TargetState>,
    term: Term,
}

impl TaskClaim {
    pub(super) fn state(&self) -> &Arc<TargetState> {
        &self.state
    }

    /// What only the background task changes, locked; `None` if another task has taken over.
    pub(super) fn hold(&self) -> Option<Held<'_>> {
        self.state.lease.answer(self.term);
        let refresh = lock(&self.state.refresh);
        self.state.lease.is_held_by(self.term).then_some(Held { state: &self.state, refresh })
    }
}

impl Drop for TaskClaim {
    fn drop(&mut self) {
        self.state.lease.release(self.term);
        // Wakes waiting callers: no task works for them any more.
        self.state.notify();
        // A wake-up that this task has taken is for its successor.
        self.state.reports.arrive();
    }
}

/// The state of a target, locked for the background task that holds its claim.
pub(super) struct Held<'a> {
    state: &'a TargetState,
    refresh: MutexGuard<'a, Refresh>,
}

impl Held<'_> {
    /// The refresh state machine.
    pub(super) fn refresh(&mut self) -> &mut Refresh {
        &mut self.refresh
    }

    /// Replaces the explanation.
    pub(super) fn explain(&self, explanation: Explanation) {
        self.state.explanation.store(Arc::new(explanation));
    }

    /// Replaces what readers see.
    pub(super) fn publish(&self, view: View, error: Option<Error>) {
        self.state.publish(view, error);
    }

    /// Takes the endpoints that requests could not connect to since the last call.
    pub(super) fn take_unreachable(&self) -> BTreeSet<Identity> {
        std::mem::take(&mut lock(&self.state.reports.unreachable))
    }

    /// Hands the state machine what else was reported: whether a refresh was requested, whether a caller waits.
    pub(super) fn apply_requests(&mut self, now: Instant) {
        if self.state.reports.refresh_requested.swap(false, Ordering::AcqRel) {
            self.refresh.on_request(now);
        }
        self.refresh.on_waiting(self.state.waiting.load(Ordering::Acquire) > 0, now);
    }
}

/// Counts as a waiting caller until it is dropped.
#[derive(Debug)]
pub(super) struct WaitGuard<'a>(&'a TargetState);

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
        self.0.reports.arrive();
    }
}

/// Counts as a caller that waits for changes until it is dropped.
pub(super) struct WatchGuard(Arc<TargetState>);

impl Drop for WatchGuard {
    fn drop(&mut self) {
        self.0.watching.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Ignores poisoning: every change under these locks is complete, so a panic elsewhere leaves the data valid.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
