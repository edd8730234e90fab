//! One namespace, as long as somebody asks about it.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::watch::{Receiver, Sender},
    task::JoinHandle,
};

use super::{
    super::{
        model::{Service, Slice},
        picture::{Health, Picture},
    },
    Connection, Timing,
    failure::{Failure, Verb},
    reflect::Reflector,
    resource::Resource,
};
use crate::{Error, name::Namespace};

/// One namespace: what is known of it, and the task that keeps it so.
pub(in super::super) struct Feed {
    namespace: Namespace,
    connection: Connection,
    timing: Timing,
    picture: Mutex<Picture>,
    /// Counts what has happened to the picture.
    changes: Sender<u64>,
    /// How many leases there are.
    users: Sender<usize>,
    worker: Mutex<Option<JoinHandle<()>>>,
    /// What has been said of this namespace, so that it is said once.
    said: Mutex<BTreeSet<&'static str>>,
    /// Somebody asks who can only mean this namespace.
    certain: AtomicBool,
}

/// Keeps a feed going.
pub(in super::super) struct Lease {
    feed: Arc<Feed>,
    pub(in super::super) changes: Receiver<u64>,
}

impl Feed {
    pub(super) fn new(namespace: Namespace, connection: Connection, timing: Timing) -> Self {
        Self {
            namespace,
            connection,
            timing,
            picture: Mutex::default(),
            changes: Sender::new(0),
            users: Sender::new(0),
            worker: Mutex::default(),
            said: Mutex::default(),
            certain: AtomicBool::new(false),
        }
    }

    pub(in super::super) fn picture(&self) -> MutexGuard<'_, Picture> {
        lock(&self.picture)
    }

    pub(super) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(in super::super) fn timing(&self) -> &Timing {
        &self.timing
    }

    pub(super) fn count<T: Resource>(&self) -> usize {
        self.picture().store.len::<T>()
    }

    pub(super) fn listed<T: Resource>(&self, objects: Vec<T>, doubt: Option<Instant>) {
        let listed = objects.len();
        {
            let mut picture = self.picture();
            picture.store.replace(objects, doubt);
            let watched = T::watched(&mut picture);
            // Whoever may list and not watch has been told so before.
            if !(watched.listed && matches!(watched.health, Health::Forbidden(_))) {
                watched.health = Health::Live;
            }
            watched.listed = true;
        }
        tracing::debug!(namespace = %self.namespace, listed, "{} listed", T::WHAT);
        self.tell();
    }

    pub(super) fn applied<T: Resource>(&self, object: T) {
        self.picture().store.apply(object);
        self.tell();
    }

    pub(super) fn deleted<T: Resource>(&self, name: &str) {
        self.picture().store.delete::<T>(name);
        self.tell();
    }

    /// The API server answers again, and nothing has been missed.
    pub(super) fn reached<T: Resource>(&self) {
        {
            let mut picture = self.picture();
            let watched = T::watched(&mut picture);
            if !matches!(watched.health, Health::Down { .. }) {
                return;
            }
            watched.health = Health::Live;
        }
        self.tell();
    }

    /// The watch works.
    pub(super) fn alive<T: Resource>(&self) {
        let was_down = {
            let mut picture = self.picture();
            let watched = T::watched(&mut picture);
            watched.granted = true;
            !matches!(std::mem::replace(&mut watched.health, Health::Live), Health::Live)
        };
        lock(&self.said).remove(T::WHAT);
        if was_down {
            self.tell();
        }
    }

    pub(super) fn down<T: Resource>(&self, what: &str, now: Instant) {
        T::watched(&mut self.picture()).fail(Error::transient(what), now);
        self.tell();
    }

    /// A request failed. Whether it is worth while to ask again only rarely: it was refused, and its verb never granted
    /// before. An API server that is just starting refuses everybody for a moment; a watch that is refused right after
    /// a list was granted is refused by a Role without `watch`.
    pub(super) fn failed<T: Resource>(&self, failure: &Failure, now: Instant) -> bool {
        let error = self.error::<T>(failure);
        let refused = {
            let mut picture = self.picture();
            let watched = T::watched(&mut picture);
            match failure {
                Failure::Forbidden(Verb::List, _) if !watched.listed => {
                    watched.health = Health::Forbidden(error.clone())
                }
                Failure::Forbidden(Verb::Watch, _) if !watched.granted => {
                    watched.health = Health::Forbidden(error.clone())
                }
                Failure::Missing(_) if !watched.listed => watched.health = Health::Refused(error.clone()),
                _ => watched.fail(error.clone(), now),
            }
            matches!(watched.health, Health::Forbidden(_) | Health::Refused(_))
        };
        if !self.certain.load(Relaxed) {
            tracing::debug!(namespace = %self.namespace, %error, "EndpointSlices cannot be watched");
        } else if lock(&self.said).insert(T::WHAT) {
            tracing::warn!(namespace = %self.namespace, %error, "EndpointSlices cannot be watched");
        }
        self.tell();
        refused
    }

    fn error<T: Resource>(&self, failure: &Failure) -> Error {
        let (namespace, what, text) = (&self.namespace, T::WHAT, failure.text());
        match failure {
            Failure::Forbidden(..) => Error::transient(format!(
                "{what} of namespace `{namespace}` are forbidden ({text}): bind this pod's service account to a Role \
                 with the verbs get, list and watch on `endpointslices` of `discovery.k8s.io` and on `services` in \
                 namespace `{namespace}` (deploy/role.yaml); until then DNS answers"
            )),
            Failure::Missing(_) => Error::config(format!(
                "this API server has no {what} ({text}): EndpointSlices need `discovery.k8s.io/v1`, Kubernetes 1.21 \
                 or newer; on a cluster that has Endpoints only, do without this source"
            )),
            Failure::Unauthorized(_) => Error::transient(format!(
                "the API server does not accept the token of this pod's service account ({text})"
            )),
            _ => Error::transient(format!("{what} of namespace `{namespace}`: {text}")),
        }
    }

    /// Somebody can only mean this namespace, and wants to hear of what is wrong with it.
    pub(in super::super) fn is_certain(&self) {
        self.certain.store(true, Relaxed);
    }

    fn tell(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Starts the task, on the runtime of the caller, unless there is one.
    pub(in super::super) fn ensure_worker(self: &Arc<Self>) {
        let mut worker = lock(&self.worker);
        if worker.as_ref().is_none_or(JoinHandle::is_finished) {
            *worker = Some(tokio::spawn(work(self.clone())));
        }
    }

    async fn unused(&self) {
        let mut users = self.users.subscribe();
        loop {
            // The sender is ours: it cannot be gone.
            let _ = users.wait_for(|count| *count == 0).await;
            tokio::time::sleep(LINGER).await;
            let mut worker = lock(&self.worker);
            if *users.borrow_and_update() == 0 {
                *worker = None;
                *self.picture() = Picture::default();
                return;
            }
        }
    }
}

impl Lease {
    pub(super) fn new(feed: Arc<Feed>) -> Self {
        feed.users.send_modify(|count| *count += 1);
        Self { changes: feed.changes.subscribe(), feed }
    }

    pub(in super::super) fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.feed.users.send_modify(|count| *count -= 1);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(&self.feed.namespace).finish()
    }
}

/// How long the watches go on without anybody who asks: whoever opens a conversation anew, because the context has
/// changed, finds everything as it was.
const LINGER: Duration = Duration::from_secs(5);

async fn work(feed: Arc<Feed>) {
    tokio::select! {
        () = Reflector::<Slice>::new(&feed).run() => {}
        () = Reflector::<Service>::new(&feed).run() => {}
        () = feed.unused() => {}
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
