//! The watches: one of slices and one of Services for each namespace in use, shared by all targets in it.
//!
//! ```text
//! Registry
//!   └─ NamespaceWatch ── one per namespace with at least one Lease; runs one task
//!        ├─ reflector::run::<Slice>     list, then watch, repeatedly  ──▶ NamespaceCache (behind a lock)
//!        └─ reflector::run::<Service>   list, then watch, repeatedly  ──▶
//! ```

mod events;
mod failure;
mod pace;
mod paging;
mod reflector;
mod request;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use kube::Config;
use tokio::{
    sync::watch::{Receiver, Sender},
    task::JoinHandle,
};

use self::{failure::Failure, wire::Resource};
use super::{
    builder::Timing,
    cache::ResourceCache,
    model::{Service, Slice},
    namespace::{CachedState, NamespaceCache, Revision},
};
use crate::{
    name::{Namespace, Target},
    plan::{Families, ServiceRef},
    source::Evidence,
};

/// The watches of all namespaces in use.
pub(super) struct Registry {
    config: Config,
    timing: Timing,
    namespaces: Mutex<BTreeMap<Namespace, Weak<NamespaceWatch>>>,
}

/// Keeps the watches of one namespace running, and reads their cache.
pub(super) struct Lease {
    watch: Arc<NamespaceWatch>,
    changes: Receiver<u64>,
}

/// One namespace: its cache, and the task that keeps the cache up to date.
struct NamespaceWatch {
    namespace: Namespace,
    config: Config,
    timing: Timing,
    cache: Mutex<NamespaceCache>,
    /// The number of changes to the cache.
    changes: Sender<u64>,
    /// The number of leases.
    leases: Sender<usize>,
    worker: Mutex<Option<JoinHandle<()>>>,
    /// The resources whose failure has been logged as a warning since they last worked.
    warned: Mutex<BTreeSet<&'static str>>,
    /// Whether a failure is worth a warning.
    warns: AtomicBool,
}

impl Registry {
    pub(super) fn new(config: Config, timing: Timing) -> Self {
        Self { config, timing, namespaces: Mutex::default() }
    }

    pub(super) fn lease(&self, namespace: &Namespace) -> Lease {
        let mut namespaces = lock(&self.namespaces);
        if let Some(watch) = namespaces.get(namespace).and_then(Weak::upgrade) {
            return Lease::new(watch);
        }
        namespaces.retain(|_, watch| watch.strong_count() > 0);
        let watch = Arc::new(NamespaceWatch::new(namespace.clone(), self.config.clone(), self.timing));
        namespaces.insert(namespace.clone(), Arc::downgrade(&watch));
        Lease::new(watch)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("url", &self.config.cluster_url).finish_non_exhaustive()
    }
}

impl Lease {
    fn new(watch: Arc<NamespaceWatch>) -> Self {
        watch.leases.send_modify(|count| *count += 1);
        Self { changes: watch.changes.subscribe(), watch }
    }

    /// Starts the watches on the runtime of the caller, unless they are running.
    pub(super) fn start(&self) {
        let mut worker = lock(&self.watch.worker);
        if worker.as_ref().is_none_or(JoinHandle::is_finished) {
            *worker = Some(tokio::spawn(work(self.watch.clone())));
        }
    }

    /// Logs failures as warnings from now on. Without this call they are debug messages, since the namespace may not
    /// exist.
    pub(super) fn warn_about_failures(&self) {
        self.watch.warns.store(true, Relaxed);
    }

    /// Answers from the cache. [`changed`](Self::changed) then waits for changes after this answer.
    pub(super) fn answer(
        &mut self,
        service: &ServiceRef,
        target: &Target,
        families: Families,
        now: Instant,
    ) -> (CachedState, Evidence, Revision) {
        self.changes.mark_unchanged();
        let mut cache = lock(&self.watch.cache);
        let (state, evidence) = cache.answer(service, target, families, self.watch.timing.max_stale(), now);
        (state, evidence, cache.revision(service))
    }

    pub(super) fn revision(&self, service: &ServiceRef) -> Revision {
        lock(&self.watch.cache).revision(service)
    }

    /// Completes when something in the namespace has changed. Cancel-safe.
    pub(super) async fn changed(&mut self) {
        // The lease keeps the sender alive.
        if self.changes.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.watch.leases.send_modify(|count| *count -= 1);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(&self.watch.namespace).finish()
    }
}

/// How long the watches outlive the last lease. A lookup that is opened again because the context has changed finds the
/// cache as it was.
const LINGER: Duration = Duration::from_secs(5);

impl NamespaceWatch {
    fn new(namespace: Namespace, config: Config, timing: Timing) -> Self {
        Self {
            namespace,
            config,
            timing,
            cache: Mutex::default(),
            changes: Sender::new(0),
            leases: Sender::new(0),
            worker: Mutex::default(),
            warned: Mutex::default(),
            warns: AtomicBool::new(false),
        }
    }

    fn is_empty<T: Resource>(&self) -> bool {
        T::cache(&mut lock(&self.cache)).is_empty()
    }

    /// Changes the cache and wakes the lookups.
    fn update<T: Resource, R>(&self, change: impl FnOnce(&mut ResourceCache<T>) -> R) -> R {
        let result = change(T::cache(&mut lock(&self.cache)));
        self.notify();
        result
    }

    /// Notes that the watch works.
    fn confirm_watch<T: Resource>(&self) {
        let is_news = T::cache(&mut lock(&self.cache)).confirm_watch();
        lock(&self.warned).remove(T::PLURAL);
        if is_news {
            self.notify();
        }
    }

    /// Notes a failed request, and returns whether frequent retries are pointless: see [`ResourceCache::deny`].
    fn fail<T: Resource>(&self, failure: &Failure, now: Instant) -> bool {
        let error = failure.to_error(T::PLURAL, &self.namespace);
        let is_denied = self.update::<T, _>(|cache| {
            if let Failure::Denied(denial, _) = failure {
                return cache.deny(*denial, error.clone(), now);
            }
            cache.fail(error.clone(), now);
            false
        });
        if !self.warns.load(Relaxed) {
            tracing::debug!(namespace = %self.namespace, %error, "cannot watch EndpointSlices");
        } else if lock(&self.warned).insert(T::PLURAL) {
            tracing::warn!(namespace = %self.namespace, %error, "cannot watch EndpointSlices");
        }
        is_denied
    }

    fn notify(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Completes once there has been no lease for [`LINGER`]. The cache is empty then.
    async fn unused(&self) {
        let mut leases = self.leases.subscribe();
        loop {
            // This cannot fail: `self` owns the sender.
            let _ = leases.wait_for(|count| *count == 0).await;
            tokio::time::sleep(LINGER).await;
            let mut worker = lock(&self.worker);
            if *leases.borrow_and_update() == 0 {
                *worker = None;
                *lock(&self.cache) = NamespaceCache::default();
                return;
            }
        }
    }
}

async fn work(watch: Arc<NamespaceWatch>) {
    tokio::select! {
        () = reflector::run::<Slice>(&watch) => {}
        () = reflector::run::<Service>(&watch) => {}
        () = watch.unused() => {}
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
