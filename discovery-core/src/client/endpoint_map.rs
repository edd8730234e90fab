//! A value for each endpoint, such as a connection pool or a service.

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};
use tokio::task::AbortHandle;

use super::{published::PublishedState, state::TargetState, upstream::Upstream};
use crate::{
    Error,
    endpoint::Endpoint,
    policy::{Pick, Tried},
};

/// Keeps one `T` for each endpoint of an upstream.
///
/// Each value is made once, soon after its endpoint appears. It is dropped when the endpoint leaves or comes back as
/// another pod, and kept through every other change.
///
/// Cheap to clone; clones share everything. A pick clones one `T` and takes no lock. It does not wait for the value of
/// a new endpoint, but picks another endpoint meanwhile. Only while all endpoints are new does a request make the value
/// that it needs.
///
/// ```
/// # use discovery_core::{EndpointMap, Resolver, Environment};
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let resolver = Resolver::builder().environment(Environment::empty()).build()?;
/// let upstream = resolver.resolve("127.0.0.1:8080").await?;
/// let names = EndpointMap::new(upstream, |endpoint| endpoint.to_string());
/// let (pick, name) = names.pick(&Default::default())?;
/// assert_eq!(name, "127.0.0.1:8080");
/// # drop(pick);
/// # Ok::<(), discovery_core::Error>(())
/// # }).unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct EndpointMap<T>(Arc<Inner<T>>);

struct Inner<T> {
    upstream: Upstream,
    make: Box<dyn Fn(&Endpoint) -> T + Send + Sync>,
    table: ArcSwap<Table<T>>,
    /// Serializes rebuilding the table. No value is made under this lock.
    rebuild: Mutex<()>,
    keeper: Mutex<Option<AbortHandle>>,
}

/// The values of one published state, in the order of its set.
struct Table<T> {
    published: Arc<PublishedState>,
    values: Box<[ValueCell<T>]>,
    /// Whether no value existed when the table was built: these are the first endpoints, or all of them are new.
    /// Requests then make the values they need, and so spread over the endpoints. If they looked for finished values,
    /// they would all crowd at the first endpoint that has one.
    is_fresh: bool,
}

impl<T> Table<T> {
    fn new(published: Arc<PublishedState>, values: Box<[ValueCell<T>]>) -> Self {
        let is_fresh = !values.iter().any(|cell| cell.get().is_some());
        Self { published, values, is_fresh }
    }

    fn value(&self, index: usize) -> Option<&T> {
        self.values.get(index)?.get()
    }
}

/// Empty until the value is made. Successive tables share the cells of the endpoints that stay.
type ValueCell<T> = Arc<OnceLock<T>>;

impl<T: Send + Sync + 'static> EndpointMap<T> {
    /// Keeps a value that `make` returns for each endpoint, current and future.
    ///
    /// As a rule `make` runs in the background, on the runtime that this is called on; it must not block.
    #[must_use]
    pub fn new(upstream: Upstream, make: impl Fn(&Endpoint) -> T + Send + Sync + 'static) -> Self {
        let state = upstream.revived();
        // Subscribes before the state is read, so that no later one is missed.
        let changes = state.subscribe();
        let published = Guard::into_inner(state.load());
        let values = published.set().iter().map(|_| ValueCell::default()).collect();
        let inner = Arc::new(Inner {
            upstream,
            make: Box::new(make),
            table: ArcSwap::from_pointee(Table::new(published, values)),
            rebuild: Mutex::new(()),
            keeper: Mutex::new(None),
        });
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let keeper = runtime.spawn(keep(Arc::downgrade(&inner), changes));
            *inner.keeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(keeper.abort_handle());
        }
        Self(inner)
    }

    /// Picks an endpoint that is not among `tried`, and clones its value.
    ///
    /// # Errors
    /// As [`Upstream::pick_untried`].
    pub fn pick(&self, tried: &Tried) -> Result<(Pick, T), Error>
    where
        T: Clone,
    {
        let state = self.0.upstream.revived();
        let mut table = self.0.table.load();
        if !state.is_current(&table.published) {
            self.0.rebuild(state);
            table = self.0.table.load();
        }
        let (index, pick) = state.pick(&table.published, tried)?;
        match table.value(index) {
            Some(value) => Ok((pick, value.clone())),
            None => Ok(self.0.made(&table, tried, (index, pick))),
        }
    }

    /// Picks as [`pick`](Self::pick) does, after waiting up to `endpoint_timeout` for an endpoint. With a timeout of zero,
    /// it waits only for the first answer of the sources.
    ///
    /// # Errors
    /// As [`pick`](Self::pick), with the reason why there is still no endpoint after `endpoint_timeout`. Returns at
    /// once when waiting cannot help: every endpoint has been tried, or the configuration is wrong.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn pick_timeout(&self, tried: &Tried, endpoint_timeout: Duration) -> Result<(Pick, T), Error>
    where
        T: Clone,
    {
        match self.pick(tried) {
            Err(error) if !error.is_all_tried() && !error.is_config() => {
                // Boxed, so that the futures of all requests do not reserve space that few of them need.
                Box::pin(self.wait(endpoint_timeout)).await;
                self.pick(tried)
            }
            picked => picked,
        }
    }

    /// Waits for an endpoint. Its result does not matter: the pick afterwards succeeds or returns the reason.
    async fn wait(&self, endpoint_timeout: Duration) {
        if endpoint_timeout.is_zero() {
            let _ = self.upstream().first_answer().await;
        } else {
            let _ = tokio::time::timeout(endpoint_timeout, self.upstream().ready()).await;
        }
    }

    /// The upstream.
    #[must_use]
    pub fn upstream(&self) -> &Upstream {
        &self.0.upstream
    }
}

/// How many other endpoints a pick tries whose value is not made yet, before it makes the value of its first choice.
const OTHERS: usize = 8;

impl<T> Inner<T> {
    /// Whether the background task is running that makes the values of new endpoints.
    fn is_kept(&self) -> bool {
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        keeper.as_ref().is_some_and(|keeper| !keeper.is_finished())
    }

    /// Picks another endpoint whose value is made. If it finds none, makes the value of the first choice.
    #[cold]
    fn made(&self, table: &Table<T>, tried: &Tried, first: (usize, Pick)) -> (Pick, T)
    where
        T: Clone,
    {
        let (index, pick) = first;
        let mut excluded = tried.clone();
        excluded.add(pick.endpoint().identity());
        let others = if table.is_fresh || !self.is_kept() { 0 } else { OTHERS };
        for _ in 0..others {
            let Ok((index, other)) = self.upstream.state().pick(&table.published, &excluded) else { break };
            if let Some(value) = table.value(index) {
                return (other, value.clone());
            }
            excluded.add(other.endpoint().identity());
        }
        let value = match table.values.get(index) {
            Some(cell) => cell.get_or_init(|| (self.make)(pick.endpoint())).clone(),
            None => (self.make)(pick.endpoint()),
        };
        (pick, value)
    }

    /// Builds the table of the current state, unless another call has done so. Both sets are sorted: one walk over
    /// the two.
    #[cold]
    fn rebuild(&self, state: &TargetState) {
        let _serialized = self.rebuild.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.table.load();
        if state.is_current(&old.published) {
            return;
        }
        let published = Guard::into_inner(state.load());
        if Arc::ptr_eq(&published, &old.published) {
            // The newer state is about to be published.
            return;
        }
        let mut before = old.published.set().iter().zip(&old.values).peekable();
        let values = published
            .set()
            .iter()
            .map(|endpoint| {
                while before.next_if(|(old, _)| old.identity() < endpoint.identity()).is_some() {}
                // A value depends on the addresses of the endpoint, not on its weight or zone.
                let same = before.next_if(|(old, _)| old.identity() == endpoint.identity());
                let same = same.filter(|(old, _)| old.addrs().eq(endpoint.addrs()));
                same.map_or_else(ValueCell::default, |(_, cell)| cell.clone())
            })
            .collect();
        self.table.store(Arc::new(Table::new(published, values)));
    }
}

/// Keeps the table current without waiting for a request. The value of a new endpoint should be ready before the first
/// request, and the value of a removed one must be dropped at once, and its idle connections with it.
async fn keep<T>(inner: Weak<Inner<T>>, mut changes: tokio::sync::watch::Receiver<u64>) {
    loop {
        let Some(table) = inner.upgrade().map(|inner| {
            inner.rebuild(inner.upstream.state());
            inner.table.load_full()
        }) else {
            return;
        };
        for (endpoint, cell) in table.published.set().iter().zip(&table.values) {
            if cell.get().is_some() {
                continue;
            }
            let Some(inner) = inner.upgrade() else { return };
            cell.get_or_init(|| (inner.make)(endpoint));
            drop(inner);
            // One value can take milliseconds to make, with a new TLS setup: let other tasks run in between.
            tokio::task::yield_now().await;
            if changes.has_changed().unwrap_or(true) {
                break;
            }
        }
        drop(table);
        if changes.changed().await.is_err() {
            return;
        }
    }
}

impl<T> Drop for Inner<T> {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            keeper.abort();
        }
    }
}

impl<T> Clone for EndpointMap<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for EndpointMap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointMap").field("upstream", &self.0.upstream).finish_non_exhaustive()
    }
}
