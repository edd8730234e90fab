//! What the background task and the handles of one target share.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};

use super::{explain::Explanation, published::Published};
use crate::{
    Error,
    endpoint::{Endpoint, EndpointSet, Identity},
    entropy,
    name::Target,
    policy::{Listener, Policy, Snapshot},
    refresh::{Freshness, Refresh, RefreshSettings, View},
};

/// The state of one target.
pub(super) struct Shared {
    pub(super) target: Target,
    policy: Arc<dyn Policy>,
    current: ArcSwap<Published>,
    explanation: ArcSwap<Explanation>,
    /// Counts publications, so that waiting for one can be told from having it.
    published: watch::Sender<u64>,
    /// That of what is published, or about to be.
    generation: AtomicU64,
    /// Here and not in the task, so that a task on another runtime can go on where one was shut down.
    refresh: Mutex<Refresh>,
    reports: Arc<Reports>,
    waiting: AtomicUsize,
    running: AtomicBool,
}

/// What requests tell the background task.
#[derive(Debug, Default)]
pub(super) struct Reports {
    unreachable: Mutex<BTreeSet<Identity>>,
    wanted: AtomicBool,
    pub(super) arrived: Notify,
}

impl Listener for Reports {
    fn unreachable(&self, endpoint: &Endpoint) {
        lock(&self.unreachable).insert(endpoint.identity().clone());
        self.arrived.notify_one();
    }
}

impl Reports {
    pub(super) fn take_unreachable(&self) -> BTreeSet<Identity> {
        std::mem::take(&mut lock(&self.unreachable))
    }

    pub(super) fn ask_soon(&self) {
        self.wanted.store(true, Ordering::Release);
        self.arrived.notify_one();
    }

    pub(super) fn take_wanted(&self) -> bool {
        self.wanted.swap(false, Ordering::AcqRel)
    }
}

impl Shared {
    pub(super) fn new(target: Target, policy: Arc<dyn Policy>, settings: RefreshSettings, now: Instant) -> Self {
        let refresh = Refresh::new(settings, now);
        let set = Arc::new(EndpointSet::default());
        let reports = Arc::new(Reports::default());
        let listener: Arc<dyn Listener> = reports.clone();
        let snapshot = Snapshot::new(set.clone(), &*policy, now, entropy::seed(), Some(listener));
        let explanation = Explanation {
            target: target.clone(),
            context: Vec::new(),
            steps: Vec::new(),
            winner: None,
            name_kind: None,
            standing: "not asked yet".to_owned(),
            endpoints: set,
        };
        Self {
            target,
            policy,
            current: ArcSwap::from_pointee(Published {
                generation: 0,
                snapshot,
                standing: Freshness::Unknown,
                error: None,
            }),
            explanation: ArcSwap::from_pointee(explanation),
            published: watch::Sender::new(0),
            generation: AtomicU64::new(0),
            refresh: Mutex::new(refresh),
            reports,
            waiting: AtomicUsize::new(0),
            running: AtomicBool::new(false),
        }
    }

    pub(super) fn load(&self) -> arc_swap::Guard<Arc<Published>> {
        self.current.load()
    }

    pub(super) fn load_full(&self) -> Arc<Published> {
        self.current.load_full()
    }

    /// Whoever has seen a publication sees its number here, or a later one.
    #[inline]
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }

    pub(super) fn refresh(&self) -> MutexGuard<'_, Refresh> {
        lock(&self.refresh)
    }

    pub(super) fn reports(&self) -> &Reports {
        &self.reports
    }

    pub(super) fn explanation(&self) -> Arc<Explanation> {
        self.explanation.load_full()
    }

    pub(super) fn explain(&self, explanation: Explanation) {
        self.explanation.store(Arc::new(explanation));
    }

    /// Replaces what readers see. Called by the one task of the target only.
    pub(super) fn publish(&self, view: View, error: Option<Error>) {
        let before = self.current.load();
        let snapshot = before.snapshot.next(view.set.clone(), &*self.policy, entropy::seed());
        let error = error.filter(|_| view.set.is_empty());
        let generation = before.generation + 1;
        self.generation.store(generation, Ordering::Release);
        self.current.store(Arc::new(Published { generation, snapshot, standing: view.standing, error }));
        self.published.send_modify(|count| *count += 1);
    }

    /// Tells the task that somebody waits for endpoints, until the guard is dropped.
    pub(super) fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        self.reports.arrived.notify_one();
        Waiting(self)
    }

    pub(super) fn somebody_waits(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// Claims the right to be the one task; false when there is one already.
    pub(super) fn claim(&self) -> bool {
        !self.running.swap(true, Ordering::AcqRel)
    }

    pub(super) fn release(&self) {
        self.running.store(false, Ordering::Release);
        // Whoever waits must look again: nobody works for them any more.
        self.published.send_modify(|count| *count += 1);
    }

    #[inline]
    pub(super) fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("target", &self.target).field("current", &self.current.load()).finish()
    }
}

/// Somebody waits for endpoints as long as this lives.
#[derive(Debug)]
pub(super) struct Waiting<'a>(&'a Shared);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
        self.0.reports.arrived.notify_one();
    }
}

/// A panic elsewhere does not make the data wrong: every change under these locks is complete.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
