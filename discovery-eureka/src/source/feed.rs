//! The task that fetches, for any number of names.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use discovery_core::policy::{Rng as _, SplitMix64};
use tokio::sync::{Notify, watch};

use super::cache::{Fetch, RegistryCache};
use crate::{
    Error,
    clock::now,
    entropy::seed,
    model::{Page, applications},
    registry::{Call, Transport, off_thread},
};

/// How many names are warned of that several applications claim.
const MAX_CONFLICTS: usize = 1024;

/// The cache, shared by the task that fetches and the lookups that read.
pub(super) struct Feed {
    registry: Arc<dyn Transport>,
    /// Only this VIP is fetched.
    vip: Option<String>,
    cache: Mutex<RegistryCache>,
    /// The latest warning of each name that several applications claim.
    conflicts: Mutex<BTreeMap<String, String>>,
    /// The version of the cache that readers were notified of.
    changed: watch::Sender<u64>,
    running: AtomicBool,
    readers: AtomicUsize,
    /// Notified when the last reader is dropped.
    idle: Notify,
}

impl Feed {
    pub(super) fn new(registry: Arc<dyn Transport>, vip: Option<String>, cache: RegistryCache) -> Self {
        Self {
            registry,
            vip,
            cache: Mutex::new(cache),
            conflicts: Mutex::default(),
            changed: watch::Sender::new(0),
            running: AtomicBool::new(false),
            readers: AtomicUsize::new(0),
            idle: Notify::new(),
        }
    }

    pub(super) fn cache(&self) -> MutexGuard<'_, RegistryCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a reader. The task runs until the last reader is dropped.
    pub(super) fn reader(self: &Arc<Self>) -> FeedReader {
        self.readers.fetch_add(1, Ordering::AcqRel);
        FeedReader { feed: self.clone(), changes: self.changed.subscribe() }
    }

    /// Starts the task on this runtime unless it runs already.
    fn ensure_running(self: &Arc<Self>) {
        if self.running.swap(true, Ordering::AcqRel) {
            return;
        }
        let permit = FetchPermit(self.clone());
        self.cache().start(now());
        tokio::spawn(run(permit));
    }

    fn has_readers(&self) -> bool {
        self.readers.load(Ordering::Acquire) > 0
    }

    /// Fetches once. A delta that is not enough is followed by a full fetch at once.
    async fn fetch(&self, kind: Fetch, rng: &mut SplitMix64) {
        let mut jitter = || 0.9 + 0.1 * (rng.below(1001) as f64 / 1000.0);
        if kind == Fetch::Delta {
            match self.fetch_page(Call::FetchDelta).await {
                Ok(Ok(delta)) => {
                    if self.cache().on_delta(delta, now(), jitter()) {
                        return;
                    }
                    tracing::debug!("registry hash differs after a delta, starting a full fetch");
                }
                // The server has deltas disabled, or the response is not a list of applications.
                Ok(Err(_)) => self.cache().on_delta_refused(),
                Err(error) => return self.on_failure(error, jitter()),
            }
        }
        let call = match &self.vip {
            Some(vip) => Call::FetchVip(vip.clone()),
            None => Call::FetchAll,
        };
        match self.fetch_page(call).await {
            Ok(Ok(page)) => self.cache().on_full(page, now(), jitter()),
            Ok(Err(error)) | Err(error) => self.on_failure(error, jitter()),
        }
    }

    /// Returns the inner error if a registry responded, but not with a list of applications.
    async fn fetch_page(&self, call: Call) -> Result<Result<Page, Error>, Error> {
        let response = self.registry.send(call.clone()).await?;
        if !response.status().is_success() {
            return Ok(Err(call.rejection(&response, "the registry")));
        }
        let (parts, body) = response.into_parts();
        let max = self.cache().max_instances();
        let page = off_thread(body.len(), move || applications(&body, max)).await?;
        Ok(page.map_err(|error| {
            tracing::debug!(%call, %error, "invalid response of the registry");
            call.not_understood(&parts, error)
        }))
    }

    fn on_failure(&self, error: Error, jitter: f64) {
        let mut cache = self.cache();
        if cache.error().is_none() {
            tracing::warn!(%error, "fetching the registry failed, keeping the known instances");
        }
        cache.on_failure(error, now(), jitter);
    }

    fn notify_readers(&self) {
        let version = self.cache().version();
        self.changed.send_if_modified(|notified| std::mem::replace(notified, version) != version);
    }
}

/// Omits the cache, which may hold thousands of instances.
impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Feed");
        shown.field("registry", &self.registry).field("vip", &self.vip).finish_non_exhaustive()
    }
}

/// Reads the cache, and keeps the task running.
#[derive(Debug)]
pub(super) struct FeedReader {
    feed: Arc<Feed>,
    changes: watch::Receiver<u64>,
}

impl FeedReader {
    /// Returns the cache.
    pub(super) fn cache(&self) -> MutexGuard<'_, RegistryCache> {
        self.feed.cache()
    }

    /// Warns that several applications claim a name, unless the latest warning of that name says the same.
    pub(super) fn warn_of_conflict(&self, name: &str, conflict: String) {
        let mut warned = self.feed.conflicts.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.get(name) == Some(&conflict) || warned.len() >= MAX_CONFLICTS && !warned.contains_key(name) {
            return;
        }
        tracing::warn!(name, "{conflict}");
        warned.insert(name.to_owned(), conflict);
    }

    /// Starts the task if need be, and marks all changes up to now as seen.
    pub(super) fn refresh(&mut self) {
        self.feed.ensure_running();
        self.changes.mark_unchanged();
    }

    /// Waits for the next change of the cache.
    pub(super) async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for FeedReader {
    fn drop(&mut self) {
        if self.feed.readers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.feed.idle.notify_one();
        }
    }
}

/// The right to fetch, of which there is one. Returned when its task ends, also if the runtime shuts down.
struct FetchPermit(Arc<Feed>);

impl Drop for FetchPermit {
    fn drop(&mut self) {
        self.0.running.store(false, Ordering::Release);
        // Wakes the readers, which start another task on their runtime.
        self.0.changed.send_modify(|_| ());
    }
}

async fn run(permit: FetchPermit) {
    let feed = permit.0.clone();
    let mut rng = SplitMix64::with_seed(seed());
    while feed.has_readers() {
        let next = feed.cache().next(now());
        match next {
            Ok(kind) => feed.fetch(kind, &mut rng).await,
            Err(at) => {
                tokio::select! {
                    () = tokio::time::sleep_until(Instant::into(at)) => feed.cache().on_timer(now()),
                    () = feed.idle.notified() => {}
                }
            }
        }
        feed.notify_readers();
    }
}
