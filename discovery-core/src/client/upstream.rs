//! The handle to one target.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::task::AbortHandle;

use super::{
    context_cell::ContextCell,
    explain::Explanation,
    published::{Endpoints, Published},
    resolver::Held,
    shared::Shared,
    task,
    watch::Watch,
};
use crate::{
    Error, ThreadRng, clock,
    error::Kind,
    name::Target,
    policy::{Pick, PickArgs, Tried},
};

/// The live view of one target: its endpoints now, and how to pick one.
///
/// Cheap to clone; all clones, and all upstreams of equal targets of one
/// [`Resolver`](crate::Resolver), share one background task. The task ends when the last of them is dropped.
#[derive(Clone)]
pub struct Upstream(pub(super) Arc<Handle>);

/// Ends the background work when it is dropped.
pub(super) struct Handle {
    pub(super) shared: Arc<Shared>,
    context: Arc<ContextCell>,
    held: Weak<Held>,
    task: Mutex<Option<AbortHandle>>,
}

impl Upstream {
    pub(super) fn new(shared: Shared, context: Arc<ContextCell>, held: Weak<Held>) -> Self {
        Self(Arc::new(Handle { shared: Arc::new(shared), context, held, task: Mutex::new(None) }))
    }

    /// The target.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.0.shared.target
    }

    /// The endpoints as they are now. Lock-free, no allocation.
    #[must_use]
    pub fn endpoints(&self) -> Endpoints {
        self.0.revive();
        Endpoints { guard: self.0.shared.load() }
    }

    /// Picks an endpoint for one request. Lock-free, no allocation.
    ///
    /// Tell the [`Pick`] how the request went: failures make an endpoint less likely, and one that cannot
    /// be reached makes the sources be asked again.
    ///
    /// # Errors
    /// When there is no endpoint now: not found, empty, or the sources failed; and before the first answer
    /// (await [`ready`](Self::first_answer) or [`ready`](Self::ready) first).
    pub fn pick(&self) -> Result<Pick, Error> {
        self.pick_untried(&Tried::default())
    }

    /// As [`pick`](Self::pick), leaving out the endpoints that this request has tried already.
    ///
    /// # Errors
    /// As [`pick`](Self::pick); and [`Error::is_all_tried`] when no other endpoint is left.
    pub fn pick_untried(&self, tried: &Tried) -> Result<Pick, Error> {
        self.0.revive();
        let published = self.0.shared.load();
        published
            .snapshot
            .pick(&mut PickArgs::new(&clock::now, &mut ThreadRng::new(), tried))
            .map_err(|error| if error.is_no_endpoints() { self.no_endpoint(&published) } else { error.into() })
    }

    /// Returns whether the set has an endpoint that is not among `tried`, whether it can be picked or not.
    #[must_use]
    pub fn has_untried(&self, tried: &Tried) -> bool {
        self.endpoints().iter().any(|endpoint| !tried.contains(endpoint.identity()))
    }

    /// Waits for the first answer of the sources, whatever it is. Returns at once afterwards.
    ///
    /// # Errors
    /// The reason why there are no endpoints, with the cause from each source that was asked.
    ///
    /// # Cancel safety
    /// Cancel-safe: the lookup goes on for the others who wait for it.
    pub async fn first_answer(&self) -> Result<(), Error> {
        self.until(|published| match (&published.error, published.snapshot.set().is_empty()) {
            (_, false) => Some(Ok(())),
            (Some(error), true) => Some(Err(error.clone())),
            (None, true) => None,
        })
        .await
    }

    /// Waits until there is an endpoint, as long as it takes: bound it with `tokio::time::timeout`. While
    /// somebody waits, a name that does not exist yet is asked for every second.
    ///
    /// # Errors
    /// Only when waiting is in vain: the configuration is wrong, or the runtime has shut down.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn ready(&self) -> Result<(), Error> {
        let _waiting = self.0.shared.wait();
        self.until(|published| match &published.error {
            _ if !published.snapshot.set().is_empty() => Some(Ok(())),
            Some(error) if error.is_config() => Some(Err(error.clone())),
            _ => None,
        })
        .await
    }

    /// A stream of the full endpoint set: the current one, then each one that is published. Sets that are
    /// replaced before they are looked at are left out.
    #[must_use]
    pub fn watch(&self) -> Watch {
        self.0.revive();
        Watch::new(self.clone(), self.0.shared.subscribe())
    }

    /// What was asked, what each source answered, and why this one won.
    #[must_use]
    pub fn explain(&self) -> Arc<Explanation> {
        self.0.shared.explanation()
    }

    /// Asks the sources again soon: at most once a second, however often it is called.
    pub fn refresh(&self) {
        self.0.revive();
        self.0.shared.reports().ask_soon();
    }

    async fn until<T>(&self, check: impl Fn(&Published) -> Option<Result<T, Error>>) -> Result<T, Error> {
        let mut published = self.0.shared.subscribe();
        loop {
            published.mark_unchanged();
            self.0.revive();
            if let Some(result) = check(&self.0.shared.load()) {
                return result;
            }
            if !self.0.shared.is_running() {
                return Err(Error::new(Kind::Closed, "the runtime that resolved this name has shut down"));
            }
            // The sender lives in `shared`, which this handle keeps.
            let _ = published.changed().await;
        }
    }

    /// Why there is nothing to pick.
    pub(super) fn no_endpoint(&self, published: &Published) -> Error {
        published.error.clone().unwrap_or_else(|| {
            Error::transient(format!("`{}` has not been answered yet: await `ready` first", self.target()))
        })
    }
}

impl Handle {
    /// Starts the background task where there is none: the first time, and when the runtime that it ran on
    /// has shut down.
    #[inline]
    pub(super) fn revive(self: &Arc<Self>) {
        if !self.shared.is_running() {
            self.start();
        }
    }

    #[cold]
    fn start(self: &Arc<Self>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        // Held until the handle is stored: of two who start a task the later one is the one that runs.
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(claim) = task::Claim::take(&self.shared) else { return };
        *task = Some(runtime.spawn(task::run(claim, self.context.clone())).abort_handle());
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
        if let Some(held) = self.held.upgrade() {
            held.forget(&self.shared.target);
        }
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.shared.fmt(f)
    }
}
