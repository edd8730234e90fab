//! The runtimes that connections run on: the caller's, or threads of the forwarder's own.

use std::{
    collections::HashMap,
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    runtime::{Builder, Handle},
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    task::AbortHandle,
};

use super::shares::Share;
use crate::table::BuildMixer;

/// A runtime and the connections that it carries.
pub(super) struct Worker {
    runtime: Handle,
    connections: Arc<Connections>,
    thread: Option<WorkerThread>,
}

struct WorkerThread {
    stop: oneshot::Sender<()>,
    join: JoinHandle<()>,
}

impl Worker {
    /// Creates a worker on the caller's runtime.
    pub(super) fn on_runtime(runtime: Handle, limit: Arc<Semaphore>) -> Self {
        Self { runtime, connections: Connections::new(limit), thread: None }
    }

    /// Creates a worker on a new thread with its own runtime. A connection is carried by the thread that accepted it, so
    /// waking it does not involve another thread.
    pub(super) fn on_thread(index: usize, limit: Arc<Semaphore>) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let join = thread::Builder::new().name(format!("forward-{index}")).spawn(move || {
            // An error means that the sender was dropped with the forwarder, which stops the thread as well.
            let _ = runtime.block_on(stopped);
            // Dropping the runtime drops all tasks, which closes all sockets.
            drop(runtime);
        })?;
        let thread = Some(WorkerThread { stop, join });
        Ok(Self { runtime: handle, connections: Connections::new(limit), thread })
    }

    pub(super) const fn runtime(&self) -> &Handle {
        &self.runtime
    }

    pub(super) const fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    /// Aborts, after some time, the connections whose destination and endpoint are `removed`.
    pub(super) fn drain(&self, after: Duration, removed: impl Fn(SocketAddr, SocketAddr) -> bool) {
        let mut tasks = self.connections.lock();
        for task in tasks.by_id.values_mut() {
            let Some(abort) = task.abort.clone() else { continue };
            // The path is taken out so that the next change does not schedule the abort again.
            if task.path.take_if(|path| removed(path.destination, path.endpoint)).is_some() {
                self.runtime.spawn(async move {
                    tokio::time::sleep(after).await;
                    abort.abort();
                });
            }
        }
    }

    /// Aborts all connections.
    pub(super) fn abort_connections(&self) {
        self.connections.lock().by_id.values().filter_map(|task| task.abort.as_ref()).for_each(AbortHandle::abort);
    }

    /// Stops the worker's own thread, if it has one, and waits for it.
    pub(super) async fn stop(&mut self) {
        if let Some(WorkerThread { stop, join }) = self.thread.take() {
            let _ = stop.send(());
            // Joining blocks. A panic on that thread has been printed, and nothing else can be done about it.
            let _ = tokio::task::spawn_blocking(move || join.join()).await;
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.abort_connections();
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("connections", &self.connections.len()).finish_non_exhaustive()
    }
}

/// The connections of one worker. All workers share the limit.
#[derive(Debug)]
pub(super) struct Connections {
    limit: Arc<Semaphore>,
    tasks: Mutex<Tasks>,
}

#[derive(Debug, Default)]
struct Tasks {
    next_id: u64,
    by_id: HashMap<u64, ConnectionTask, BuildMixer>,
}

/// The task that carries a connection. The path is boxed because most of 10 000 idle connections have none.
#[derive(Debug, Default)]
struct ConnectionTask {
    abort: Option<AbortHandle>,
    path: Option<Box<ConnectionPath>>,
}

#[derive(Clone, Copy, Debug)]
struct ConnectionPath {
    destination: SocketAddr,
    endpoint: SocketAddr,
}

/// Counts a connection until its task drops this guard.
#[derive(Debug)]
pub(super) struct ConnectionGuard {
    connections: Arc<Connections>,
    id: u64,
    // Returned before the permit, which the next connection waits for.
    _share: Share,
    _permit: OwnedSemaphorePermit,
}

impl Connections {
    fn new(limit: Arc<Semaphore>) -> Arc<Self> {
        Arc::new(Self { limit, tasks: Mutex::default() })
    }

    /// Waits until the limit admits another connection. Cancel-safe.
    pub(super) async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        match self.limit.clone().try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => self.limit.clone().acquire_owned().await.ok(),
        }
    }

    /// Spawns the task that carries a connection, which can be aborted from now on.
    pub(super) fn spawn<F>(
        self: &Arc<Self>,
        permit: OwnedSemaphorePermit,
        share: Share,
        task: impl FnOnce(ConnectionGuard) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let id = {
            let mut tasks = self.lock();
            tasks.next_id += 1;
            let id = tasks.next_id;
            tasks.by_id.insert(id, ConnectionTask::default());
            id
        };
        let guard = ConnectionGuard { connections: self.clone(), id, _share: share, _permit: permit };
        let abort = tokio::spawn(task(guard)).abort_handle();
        // The task may have ended already.
        if let Some(task) = self.lock().by_id.get_mut(&id) {
            task.abort = Some(abort);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().by_id.len()
    }

    fn lock(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionGuard {
    /// Records where the connection leads, for [`Worker::drain`].
    pub(super) fn set_path(&self, destination: SocketAddr, endpoint: SocketAddr) {
        if let Some(task) = self.connections.lock().by_id.get_mut(&self.id) {
            task.path = Some(Box::new(ConnectionPath { destination, endpoint }));
        }
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.connections.lock().by_id.remove(&self.id);
    }
}
