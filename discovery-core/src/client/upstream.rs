//! The handle to one target.

use std::{
    cell::Cell,
    collections::HashMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::{
    runtime::{self, Handle},
    task::AbortHandle,
};

use super::{
    attention::Attention,
    context_cell::ContextCell,
    explain::Explanation,
    published::{Endpoints, PublishedState},
    state::TargetState,
    task,
    watch::Watch,
};
use crate::{
    Error,
    error::Kind,
    name::Target,
    policy::{Pick, Tried},
    tcp::{Connection, TcpConnector},
};

/// The live view of one target: its current endpoints, and how to pick one.
///
/// Cheap to clone. All clones share one background task, and so do all upstreams of equal targets of one
/// [`Resolver`](crate::Resolver). The task ends when the last of them is dropped.
///
/// # What a use costs
///
/// Reading and picking take no lock and allocate nothing, with two exceptions. The first use on a Tokio runtime starts a
/// task there. One use in 61 of a thread also tries a lock, without waiting for it, to find out whether the background
/// task is still running.
#[derive(Clone)]
pub struct Upstream(Arc<UpstreamHandle>);

impl Upstream {
    /// The target.
    #[must_use]
    pub fn target(&self) -> &Target {
        self.0.state.target()
    }

    /// Returns the current endpoints. Never blocks: see [what a use costs](Self#what-a-use-costs).
    #[must_use]
    pub fn endpoints(&self) -> Endpoints {
        Endpoints::new(self.revived().load())
    }

    /// Picks an endpoint for one request. Never blocks: see [what a use costs](Self#what-a-use-costs).
    ///
    /// Report the outcome of the request to the [`Pick`]: a failure makes its endpoint less likely to be picked, and a
    /// connect error makes the resolver query the sources again.
    ///
    /// # Errors
    /// When the set is empty: the name was not found, it has no endpoints, or the sources failed. Also before the
    /// first answer: await [`first_answer`](Self::first_answer) or [`ready`](Self::ready) first.
    pub fn pick(&self) -> Result<Pick, Error> {
        self.pick_untried(&Tried::default())
    }

    /// Picks an endpoint that this request has not tried yet, as a retry does. Never blocks: see
    /// [what a use costs](Self#what-a-use-costs).
    ///
    /// # Errors
    /// As [`pick`](Self::pick), and [`Error::is_all_tried`] when no other endpoint is left.
    pub fn pick_untried(&self, tried: &Tried) -> Result<Pick, Error> {
        let state = self.revived();
        state.pick(&state.load(), tried).map(|(_, pick)| pick)
    }

    /// Connects to an endpoint over TCP, with the default settings of [`TcpConnector`], and to another one if that
    /// fails.
    ///
    /// # Errors
    /// As [`TcpConnector::connect`].
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    pub async fn connect(&self) -> Result<Connection, Error> {
        TcpConnector::new(self.clone()).connect().await
    }

    /// Returns the addresses of different endpoints, in the order in which the policy picks them: for clients that take
    /// a list of addresses and choose by themselves. At most 64, as many as such a client tries; empty while there is
    /// no endpoint.
    ///
    /// The list is a snapshot, and an address in it does not count in the load of its endpoint.
    #[must_use]
    pub fn addrs(&self) -> Vec<SocketAddr> {
        let mut tried = Tried::default();
        let next = || {
            let pick = self.pick_untried(&tried).ok()?;
            tried.add(pick.endpoint().identity());
            Some(pick.endpoint().addr())
        };
        std::iter::from_fn(next).take(64).collect()
    }

    /// Returns whether the set has an endpoint that is not among `tried`, whether it can be picked or not.
    #[must_use]
    pub fn has_untried(&self, tried: &Tried) -> bool {
        self.endpoints().iter().any(|endpoint| !tried.contains(endpoint.identity()))
    }

    /// Waits for the first answer of the sources, positive or negative. Returns at once afterwards.
    ///
    /// # Errors
    /// When the sources returned no endpoints. The error holds the reason of each source that was queried.
    ///
    /// # Cancel safety
    /// Cancel-safe: the lookup continues for other callers that wait for it.
    pub async fn first_answer(&self) -> Result<(), Error> {
        self.until(|published| published.answer().map(|answer| answer.map_err(Clone::clone))).await
    }

    /// Waits until there is an endpoint, without a limit: bound it with `tokio::time::timeout`. While a caller waits,
    /// the resolver queries a name that does not exist yet once a second.
    ///
    /// # Errors
    /// Only when waiting cannot help: the configuration is wrong, or the runtime has shut down.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn ready(&self) -> Result<(), Error> {
        let _waiting = self.0.state.wait();
        self.until(|published| match published.answer()? {
            Ok(()) => Some(Ok(())),
            Err(error) if error.is_config() => Some(Err(error.clone())),
            Err(_) => None,
        })
        .await
    }

    /// Returns a stream of full endpoint sets: the current one, then each new one. A slow reader misses the sets that
    /// were replaced before it looked, never the latest one.
    #[must_use]
    pub fn watch(&self) -> Watch {
        self.attend();
        Watch::new(self.clone(), self.0.state.subscribe())
    }

    /// Returns what was queried, what each source answered, and why this answer won.
    #[must_use]
    pub fn explain(&self) -> Arc<Explanation> {
        self.0.state.current_explanation()
    }

    /// Queries the sources again soon: at most once a second, however often this is called.
    pub fn refresh(&self) {
        self.attend();
        self.0.state.request_refresh();
    }

    pub(super) fn state(&self) -> &Arc<TargetState> {
        &self.0.state
    }

    /// The state, after starting the background task if none is running: for the first use, and when the runtime of
    /// the previous task has shut down. Now and then it also [attends](Self::attend) to a task that is running.
    #[inline]
    pub(super) fn revived(&self) -> &TargetState {
        if !self.0.state.is_running() {
            self.attend();
        } else if is_sampled() {
            self.attend_unlocked();
        }
        &self.0.state
    }

    /// Makes the current runtime drive the background task, unless another runtime does. Returns whether the current
    /// runtime can.
    #[cold]
    pub(super) fn attend(&self) -> bool {
        Handle::try_current().is_ok_and(|runtime| self.0.attend(&runtime, &mut lock(&self.0.tasks)))
    }

    /// [Attends](Self::attend), unless another caller does so at this moment.
    #[cold]
    fn attend_unlocked(&self) {
        if let (Ok(runtime), Ok(mut tasks)) = (Handle::try_current(), self.0.tasks.try_lock()) {
            self.0.attend(&runtime, &mut tasks);
        }
    }

    async fn until<T>(&self, check: impl Fn(&PublishedState) -> Option<Result<T, Error>>) -> Result<T, Error> {
        let state = &self.0.state;
        let _watching = state.watch();
        let mut changes = state.subscribe();
        loop {
            changes.mark_unchanged();
            let is_attended = self.attend();
            if let Some(result) = check(&state.load()) {
                return result;
            }
            if !is_attended && !state.is_running() {
                let text = format!(
                    "`{}` cannot be resolved: the Tokio runtime of its background task has shut down; use the \
                     upstream on a runtime that is running",
                    self.target()
                );
                return Err(Error::new(Kind::Closed, text));
            }
            // Never an error: the sender lives in the state, which this handle keeps alive.
            let _ = changes.changed().await;
        }
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.state.fmt(f)
    }
}

/// How many uses of upstreams in a thread pass before one of them [attends](Upstream::attend) to its upstream. A prime,
/// so that a thread that uses several upstreams in turn attends to each of them.
const SAMPLE: u32 = 61;

fn is_sampled() -> bool {
    thread_local!(static USES: Cell<u32> = const { Cell::new(0) });
    let uses = USES.get() + 1;
    USES.set(if uses == SAMPLE { 0 } else { uses });
    uses == SAMPLE
}

/// Owns the tasks of one target, and ends them when dropped.
struct UpstreamHandle {
    state: Arc<TargetState>,
    context: Arc<ContextCell>,
    table: Weak<UpstreamTable>,
    tasks: Mutex<Vec<RuntimeTask>>,
}

/// The task of one runtime: the background task, or a standby for it.
struct RuntimeTask {
    runtime: runtime::Id,
    task: AbortHandle,
    attention: Arc<Attention>,
}

impl UpstreamHandle {
    /// Starts a task on `runtime`, unless `runtime` has one. The first task is the background task. Any other is a
    /// standby, which takes over when no runtime polls the background task. Returns whether `runtime` has a task now.
    fn attend(&self, runtime: &Handle, tasks: &mut Vec<RuntimeTask>) -> bool {
        tasks.retain(|running| !running.task.is_finished());
        let id = runtime.id();
        if tasks.iter().any(|running| running.runtime == id && running.attention.renew()) {
            return true;
        }
        let attention = Arc::new(Attention::default());
        let run = task::run(self.state.clone(), self.state.claim(), self.context.clone(), attention.clone());
        let task = runtime.spawn(run).abort_handle();
        // A runtime that is shutting down has dropped the task, and the claim with it.
        let is_running = !task.is_finished();
        tasks.push(RuntimeTask { runtime: id, task, attention });
        is_running
    }
}

impl Drop for UpstreamHandle {
    fn drop(&mut self) {
        for running in self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            running.task.abort();
        }
        if let Some(table) = self.table.upgrade() {
            table.forget(self.state.target());
        }
    }
}

/// The upstreams in use of one resolver.
#[derive(Default)]
pub(super) struct UpstreamTable(Mutex<HashMap<Target, Weak<UpstreamHandle>>>);

impl UpstreamTable {
    /// Returns the upstream of `target` in use, or a new one with the state that `make` returns.
    pub(super) fn get_or_insert(
        self: &Arc<Self>,
        target: &Target,
        context: &Arc<ContextCell>,
        make: impl FnOnce() -> TargetState,
    ) -> Upstream {
        let mut table = lock(&self.0);
        if let Some(handle) = table.get(target).and_then(Weak::upgrade) {
            return Upstream(handle);
        }
        let handle = Arc::new(UpstreamHandle {
            state: Arc::new(make()),
            context: context.clone(),
            table: Arc::downgrade(self),
            tasks: Mutex::default(),
        });
        table.insert(target.clone(), Arc::downgrade(&handle));
        Upstream(handle)
    }

    /// How many upstreams are in use.
    pub(super) fn len(&self) -> usize {
        lock(&self.0).len()
    }

    /// Removes a target whose last handle was dropped, unless a new handle has taken its place.
    fn forget(&self, target: &Target) {
        let mut table = lock(&self.0);
        if table.get(target).is_some_and(|handle| handle.strong_count() == 0) {
            table.remove(target);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
