//! The state of one target, shared by its background task and its handles.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::{Semaphore, watch};

use super::{
    explain::Explanation,
    lease::{Lease, Question, Term},
    probe::PROBES,
    published::PublishedState,
    reports::RequestReports,
};
use crate::{
    Error,
    endpoint::Identity,
    name::Target,
    policy::{LoadedEndpoint, Pick, Policy, Reachability, Tried},
    refresh::{Refresh, RefreshSettings, View},
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
    probes: Arc<Semaphore>,
}

impl TargetState {
    pub(super) fn new(target: Target, policy: Arc<dyn Policy>, settings: RefreshSettings, now: Instant) -> Self {
        let reports = Arc::new(RequestReports::default());
        let unknown = PublishedState::unknown(&*policy, now, reports.clone());
        Self {
            explanation: ArcSwap::from_pointee(Explanation::new(target.clone(), unknown.set().clone())),
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
            probes: Arc::new(Semaphore::new(PROBES)),
        }
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    /// The places of probes that are under way.
    pub(super) fn probes(&self) -> &Arc<Semaphore> {
        &self.probes
    }

    pub(super) fn load(&self) -> Guard<Arc<PublishedState>> {
        self.current.load()
    }

    /// Whether nothing newer than `published` has been published. Cheaper than loading the current state; it may
    /// answer `false` a moment before the newer state is there.
    #[inline]
    pub(super) fn is_current(&self, published: &PublishedState) -> bool {
        self.generation.load(Ordering::Acquire) == published.generation()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Picks an endpoint of `published` and starts a request to it; returns its index in the set as well.
    #[inline]
    pub(super) fn pick(&self, published: &PublishedState, tried: &Tried) -> Result<(usize, Pick), Error> {
        published.pick(&self.target, tried)
    }

    pub(super) fn explanation(&self) -> Arc<Explanation> {
        self.explanation.load_full()
    }

    /// The explanation, with the endpoints that are unreachable now.
    pub(super) fn current_explanation(&self) -> Arc<Explanation> {
        let explanation = self.explanation();
        let published = self.load();
        let is_unreachable = |one: &&Arc<LoadedEndpoint>| one.reachability() == Reachability::Unreachable;
        let unreachable: Vec<_> = published.loaded_endpoints().iter().filter(is_unreachable).collect();
        if unreachable.is_empty() {
            return explanation;
        }
        let unreachable = unreachable.into_iter().map(|one| one.identity().clone()).collect();
        Arc::new(explanation.with_unreachable(unreachable))
    }

    /// Replaces what readers see. Only [`Held::publish`] calls it.
    fn publish(&self, view: View, error: Option<Error>) {
        let next = self.current.load().next(view, &*self.policy, error);
        self.generation.store(next.generation(), Ordering::Release);
        self.current.store(Arc::new(next));
        self.notify();
    }

    /// Counts a caller that waits for endpoints, until the guard is dropped.
    pub(super) fn wait(&self) -> WaitGuard<'_> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        self.reports.wake();
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
        self.reports.request_refresh();
    }

    /// Completes when a request has reported something, or a standby has asked whether the task is driven.
    pub(super) async fn reported(&self) {
        self.reports.arrived().await;
    }

    /// Claims the right to be the background task; `None` while another task holds it.
    pub(super) fn claim(self: &Arc<Self>) -> Option<TaskClaim> {
        self.lease.claim().map(|term| TaskClaim { state: self.clone(), term })
    }

    /// Asks the background task whether a runtime polls it. Returns `None` if no task is running.
    pub(super) fn ask(&self) -> Option<Question> {
        let question = self.lease.ask();
        self.reports.wake();
        question
    }

    /// Replaces the background task if it has not answered `question`.
    pub(super) fn seize(self: &Arc<Self>, question: &Question) -> Option<TaskClaim> {
        // Locked: the task that is replaced publishes nothing from now on.
        let _refresh = lock(&self.refresh);
        let term = self.lease.seize(question)?;
        // The task that is replaced must learn of it as soon as it is driven again, to become a standby.
        self.reports.wake();
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
        self.state.reports.wake();
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
        self.state.reports.take_unreachable()
    }

    /// Hands the state machine the outcomes of requests since the last call, where they matter. A request that is still in
    /// flight on an endpoint that works counts as one that succeeds.
    pub(super) fn apply_outcomes(&mut self, now: Instant) {
        if !self.refresh.wants_outcomes() {
            return;
        }
        for loaded in self.state.load().loaded_endpoints().iter() {
            let load = loaded.load();
            let is_busy = || (load.works() && load.in_flight() > 0).then_some(true);
            if let Some(succeeded) = load.take_outcome().or_else(is_busy) {
                self.refresh.on_outcome(loaded.identity(), succeeded, now);
            }
        }
    }

    /// Hands the state machine what else was reported: whether a refresh was requested, whether a caller waits.
    pub(super) fn apply_requests(&mut self, now: Instant) {
        if self.state.reports.take_refresh_request() {
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
        self.0.reports.wake();
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
