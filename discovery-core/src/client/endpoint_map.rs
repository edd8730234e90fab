//! Something of the caller's own for each endpoint: a connection pool, a service.

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::task::AbortHandle;

use super::{published::Published, upstream::Upstream};
use crate::{
    Error, ThreadRng, clock,
    endpoint::Endpoint,
    policy::{Decision, Pick, PickArgs, Snapshot, Tried},
};

/// Keeps one `T` for each endpoint of an upstream: made once, soon after the endpoint comes, dropped when it
/// leaves or comes back as another pod, kept through every other change.
///
/// Cheap to clone; clones share everything. A pick clones one `T` and takes no lock, and it does not wait for what is
/// being made for a new endpoint: it goes to another one meanwhile. Only when all endpoints are new, a request makes
/// what it needs itself.
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
    /// One new table at a time. Nothing is made under this lock.
    rebuild: Mutex<()>,
    keeper: Mutex<Option<AbortHandle>>,
}

/// What is attached to one published state, in the order of its set.
struct Table<T> {
    published: Arc<Published>,
    attached: Box<[Place<T>]>,
    /// Nothing was made when the table was: the first endpoints, or all of them new. Requests then make what they need
    /// and spread as they should, where they would crowd at the first endpoint to be ready.
    is_fresh: bool,
}

impl<T> Table<T> {
    fn new(published: Arc<Published>, attached: Box<[Place<T>]>) -> Self {
        let is_fresh = !attached.iter().any(|place| place.get().is_some());
        Self { published, attached, is_fresh }
    }
}

/// Empty until somebody makes what belongs there. Tables share the places of the endpoints that stay.
type Place<T> = Arc<OnceLock<T>>;

impl<T: Send + Sync + 'static> EndpointMap<T> {
    /// Attaches what `make` returns to each endpoint, now and later. As a rule `make` runs in the background, on the
    /// runtime that this is called on; it must not block.
    #[must_use]
    pub fn new(upstream: Upstream, make: impl Fn(&Endpoint) -> T + Send + Sync + 'static) -> Self {
        upstream.0.revive();
        // Before the state is read, so that no later one is missed.
        let changes = upstream.0.shared.subscribe();
        let published = upstream.0.shared.load_full();
        let attached = published.snapshot.set().iter().map(|_| Place::default()).collect();
        let inner = Arc::new(Inner {
            upstream,
            make: Box::new(make),
            table: ArcSwap::from_pointee(Table::new(published, attached)),
            rebuild: Mutex::new(()),
            keeper: Mutex::new(None),
        });
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let keeper = runtime.spawn(keep(Arc::downgrade(&inner), changes));
            *inner.keeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(keeper.abort_handle());
        }
        Self(inner)
    }

    /// Picks an endpoint that is not among `tried`, and clones what is attached to it.
    ///
    /// # Errors
    /// As [`Upstream::pick_untried`].
    pub fn pick(&self, tried: &Tried) -> Result<(Pick, T), Error>
    where
        T: Clone,
    {
        self.0.upstream.0.revive();
        let mut table = self.0.table.load();
        if !self.0.is_current(&table) {
            self.0.rebuild();
            table = self.0.table.load();
        }
        let (pick, index) = self.0.choose(&table, tried)?;
        match table.attached.get(index).and_then(|place| place.get()) {
            Some(attached) => Ok((pick, attached.clone())),
            None => Ok(self.0.made(&table, tried, (pick, index))),
        }
    }

    /// As [`pick`](Self::pick), and waits up to `endpoint_timeout` while there is no endpoint. With zero patience it
    /// waits for the first answer of the sources only.
    ///
    /// # Errors
    /// As [`pick`](Self::pick): why there is no endpoint when the patience is over. At once when waiting is in
    /// vain, because every endpoint has been tried or the configuration is wrong.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn pick_timeout(&self, tried: &Tried, patience: Duration) -> Result<(Pick, T), Error>
    where
        T: Clone,
    {
        match self.pick(tried) {
            Err(error) if !error.is_all_tried() && !error.is_config() => {
                // In a box of its own, so that the futures of all requests have no room for what few of them need.
                Box::pin(self.wait(patience)).await;
                self.pick(tried)
            }
            picked => picked,
        }
    }

    /// Either way the pick afterwards tells what there is, or why there is nothing.
    async fn wait(&self, patience: Duration) {
        if patience.is_zero() {
            let _ = self.upstream().first_answer().await;
        } else {
            let _ = tokio::time::timeout(patience, self.upstream().ready()).await;
        }
    }

    /// The upstream.
    #[must_use]
    pub fn upstream(&self) -> &Upstream {
        &self.0.upstream
    }
}

/// How often a pick looks for an endpoint whose `T` has been made, before it makes one itself.
const OTHERS: usize = 8;

impl<T> Inner<T> {
    fn is_current(&self, table: &Table<T>) -> bool {
        self.upstream.0.shared.generation() == table.published.generation
    }

    fn is_kept(&self) -> bool {
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        keeper.as_ref().is_some_and(|keeper| !keeper.is_finished())
    }

    fn choose(&self, table: &Table<T>, tried: &Tried) -> Result<(Pick, usize), Error> {
        let snapshot: &Snapshot = &table.published.snapshot;
        let mut rng = ThreadRng::new();
        let mut args = PickArgs::new(&clock::now, &mut rng, tried);
        let index = match snapshot.choose(&mut args) {
            Decision::Endpoint(index) => index,
            Decision::Fail(error) if !error.is_no_endpoints() => return Err(error.into()),
            _ => return Err(self.upstream.no_endpoint(&table.published)),
        };
        let pick = snapshot.start(index, args.pick_time());
        pick.map(|pick| (pick, index)).ok_or_else(|| self.upstream.no_endpoint(&table.published))
    }

    /// Another endpoint, if there is one whose `T` has been made; else makes that of the first choice.
    #[cold]
    fn made(&self, table: &Table<T>, tried: &Tried, first: (Pick, usize)) -> (Pick, T)
    where
        T: Clone,
    {
        let mut passed = tried.clone();
        passed.add(first.0.endpoint().identity());
        // Without a runtime nobody makes it in the background.
        let others = if table.is_fresh || !self.is_kept() { 0 } else { OTHERS };
        for _ in 0..others {
            let Ok((pick, index)) = self.choose(table, &passed) else { break };
            if let Some(attached) = table.attached.get(index).and_then(|place| place.get()) {
                return (pick, attached.clone());
            }
            passed.add(pick.endpoint().identity());
        }
        let (pick, index) = first;
        let attached = match table.attached.get(index) {
            Some(place) => place.get_or_init(|| (self.make)(pick.endpoint())).clone(),
            None => (self.make)(pick.endpoint()),
        };
        (pick, attached)
    }

    /// Brings the table in step with what is published. Both sets are sorted: one walk over the two.
    #[cold]
    fn rebuild(&self) {
        let _one = self.rebuild.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.table.load();
        if self.is_current(&old) {
            return;
        }
        let published = self.upstream.0.shared.load_full();
        if Arc::ptr_eq(&published, &old.published) {
            // About to be published.
            return;
        }
        let mut before = old.published.snapshot.set().iter().zip(&old.attached).peekable();
        let attached = published
            .snapshot
            .set()
            .iter()
            .map(|endpoint| {
                while before.next_if(|(old, _)| old.identity() < endpoint.identity()).is_some() {}
                // What is made depends on the addresses, not on weight or zone.
                let same = before.next_if(|(old, _)| old.identity() == endpoint.identity());
                let same = same.filter(|(old, _)| old.addrs().eq(endpoint.addrs()));
                same.map_or_else(Place::default, |(_, place)| place.clone())
            })
            .collect();
        self.table.store(Arc::new(Table::new(published, attached)));
    }
}

/// Keeps the table in step without waiting for a request: what belongs to a new endpoint should be there before the
/// first request, and what belongs to a removed one must go at once, and with it its idle connections.
async fn keep<T>(inner: Weak<Inner<T>>, mut published: tokio::sync::watch::Receiver<u64>) {
    loop {
        let Some(table) = inner.upgrade().map(|inner| {
            inner.rebuild();
            inner.table.load_full()
        }) else {
            return;
        };
        for (endpoint, place) in table.published.snapshot.set().iter().zip(&table.attached) {
            if place.get().is_some() {
                continue;
            }
            let Some(inner) = inner.upgrade() else { return };
            place.get_or_init(|| (inner.make)(endpoint));
            drop(inner);
            // Making one takes milliseconds where TLS is set up anew: others have their turn in between.
            tokio::task::yield_now().await;
            if published.has_changed().unwrap_or(true) {
                break;
            }
        }
        drop(table);
        if published.changed().await.is_err() {
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
