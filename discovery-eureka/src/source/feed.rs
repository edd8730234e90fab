//! The one task that fetches, for any number of names.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use discovery_core::policy::{Rng as _, SplitMix64};
use tokio::sync::{Notify, watch};

use super::memory::{Fetch, Memory};
use crate::wall::now;
use crate::{
    Error,
    model::{Page, applications},
    registry::{Ask, Call, off_thread},
    seed,
};

/// What is known, shared by the task that fetches and the lookups that read.
pub(super) struct Feed {
    registry: Arc<dyn Ask>,
    /// Only this VIP is fetched.
    vip: Option<String>,
    memory: Mutex<Memory>,
    changed: watch::Sender<u64>,
    running: AtomicBool,
    readers: AtomicUsize,
    /// The last reader has gone.
    idle: Notify,
}

impl Feed {
    pub(super) fn new(registry: Arc<dyn Ask>, vip: Option<String>, memory: Memory) -> Self {
        Self {
            registry,
            vip,
            memory: Mutex::new(memory),
            changed: watch::Sender::new(0),
            running: AtomicBool::new(false),
            readers: AtomicUsize::new(0),
            idle: Notify::new(),
        }
    }

    pub(super) fn vip(&self) -> Option<&str> {
        self.vip.as_deref()
    }

    pub(super) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Keeps the task at work until the reader is dropped.
    pub(super) fn read(self: &Arc<Self>) -> Reader {
        self.readers.fetch_add(1, Ordering::AcqRel);
        Reader(self.clone())
    }

    /// Starts the task on this runtime, where there is none.
    fn ensure_worker(self: &Arc<Self>) {
        if self.running.swap(true, Ordering::AcqRel) {
            return;
        }
        let claim = Claim(self.clone());
        self.memory().begin(now());
        tokio::spawn(work(claim));
    }

    fn is_read(&self) -> bool {
        self.readers.load(Ordering::Acquire) > 0
    }

    /// One fetch, and a full one at once where a delta does not do.
    async fn fetch(&self, kind: Fetch, rng: &mut SplitMix64) {
        let mut part = || 0.9 + 0.1 * (rng.below(1001) as f64 / 1000.0);
        if kind == Fetch::Delta {
            match self.ask(Call::delta()).await {
                Ok(Some(delta)) => {
                    if self.memory().on_delta(delta, now(), part()) {
                        return;
                    }
                    tracing::debug!("the hash of the registry differs after a delta: fetching all of it");
                }
                // Deltas are switched off, or what came is none.
                Ok(None) => {}
                Err(error) => return self.failed(error, part()),
            }
        }
        let call = match &self.vip {
            Some(vip) => Call::vip(vip),
            None => Call::all(),
        };
        match self.ask(call.clone()).await {
            Ok(Some(page)) => self.memory().on_full(page, now(), part()),
            Ok(None) => self.failed(Error::unreadable(format!("the answer to {call} is none of a registry")), part()),
            Err(error) => self.failed(error, part()),
        }
    }

    /// `None` for an answer that is no list of applications.
    async fn ask(&self, call: Call) -> Result<Option<Page>, Error> {
        let answer = self.registry.ask(call.clone()).await?;
        if !answer.is_success() {
            return Ok(None);
        }
        let body = answer.body;
        match off_thread(body.len(), move || applications(&body)).await? {
            Ok(page) => Ok(Some(page)),
            Err(error) => {
                tracing::debug!(%call, %error, "an answer that cannot be read");
                Ok(None)
            }
        }
    }

    fn failed(&self, error: Error, part: f64) {
        let mut memory = self.memory();
        if memory.error.is_none() {
            tracing::warn!(error = %error.in_full(), "the registry cannot be fetched, what is known stays");
        }
        memory.on_failure(error, now(), part);
    }

    fn tell(&self) {
        let version = self.memory().version;
        self.changed.send_if_modified(|told| std::mem::replace(told, version) != version);
    }
}

/// Without what is known, which may be thousands of instances.
impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Feed");
        shown.field("registry", &self.registry).field("vip", &self.vip).finish_non_exhaustive()
    }
}

/// Somebody reads as long as this lives.
#[derive(Debug)]
pub(super) struct Reader(Arc<Feed>);

impl Reader {
    /// The feed, at work.
    pub(super) fn feed(&self) -> &Feed {
        self.0.ensure_worker();
        &self.0
    }

    /// The feed, at work or not.
    pub(super) fn feed_as_is(&self) -> &Feed {
        &self.0
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if self.0.readers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_one();
        }
    }
}

/// The right to fetch; there is one at a time. It is given back when its task ends, also by a runtime's shutdown.
struct Claim(Arc<Feed>);

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.running.store(false, Ordering::Release);
        // Readers look again, and start another task where they are.
        self.0.changed.send_modify(|_| ());
    }
}

async fn work(claim: Claim) {
    let feed = claim.0.clone();
    let mut rng = SplitMix64::with_seed(seed());
    while feed.is_read() {
        let next = feed.memory().next(now());
        match next {
            Ok(kind) => feed.fetch(kind, &mut rng).await,
            Err(at) => {
                tokio::select! {
                    () = tokio::time::sleep_until(Instant::into(at)) => feed.memory().on_time(now()),
                    () = feed.idle.notified() => {}
                }
            }
        }
        feed.tell();
    }
}
