//! What is being carried: counted, bounded, and ended when its time has come.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::AbortHandle,
};

use crate::{object::Protocol, table::BuildMixer};

/// The connections of one worker. The limit is shared by all workers.
#[derive(Debug)]
pub(super) struct Live {
    limit: Arc<Semaphore>,
    tasks: Mutex<Tasks>,
}

#[derive(Debug, Default)]
struct Tasks {
    next: u64,
    by_id: HashMap<u64, Task, BuildMixer>,
}

/// A task that carries something; boxes, because most of 10 000 idle connections have nothing to say.
#[derive(Debug, Default)]
struct Task {
    abort: Option<AbortHandle>,
    path: Option<Box<Path>>,
}

/// Where a connection leads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    pub(super) destination: SocketAddr,
    pub(super) endpoint: SocketAddr,
}

/// Held by a connection's task: when it is dropped, the connection is no longer counted.
#[derive(Debug)]
pub(super) struct Ticket {
    live: Arc<Live>,
    id: u64,
    _permit: OwnedSemaphorePermit,
}

impl Live {
    pub(super) fn new(limit: Arc<Semaphore>) -> Arc<Self> {
        Arc::new(Self { limit, tasks: Mutex::default() })
    }

    /// Waits until there is room for one more. Cancel-safe.
    pub(super) async fn room(&self) -> Option<OwnedSemaphorePermit> {
        match self.limit.clone().try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => self.limit.clone().acquire_owned().await.ok(),
        }
    }

    /// Runs what carries a connection. It can be aborted from here on.
    pub(super) fn spawn<F>(self: &Arc<Self>, permit: OwnedSemaphorePermit, task: impl FnOnce(Ticket) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let id = {
            let mut tasks = self.lock();
            tasks.next += 1;
            let id = tasks.next;
            tasks.by_id.insert(id, Task::default());
            id
        };
        let abort = tokio::spawn(task(Ticket { live: self.clone(), id, _permit: permit })).abort_handle();
        // It may have ended already.
        if let Some(task) = self.lock().by_id.get_mut(&id) {
            task.abort = Some(abort);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().by_id.len()
    }

    pub(super) fn abort_all(&self) {
        self.lock().by_id.values().filter_map(|task| task.abort.as_ref()).for_each(AbortHandle::abort);
    }

    /// Gives the connections whose path is `over` some time, then ends them.
    pub(super) fn drain(&self, after: Duration, runtime: &Handle, over: impl Fn(&Path) -> bool) {
        let mut tasks = self.lock();
        for task in tasks.by_id.values_mut() {
            let Some(abort) = task.abort.clone() else { continue };
            // Taken out, so that the next change does not end it a second time.
            if task.path.take_if(|path| over(path)).is_some() {
                runtime.spawn(async move {
                    tokio::time::sleep(after).await;
                    abort.abort();
                });
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Notes where the connection leads, for [`Live::drain`].
    pub(super) fn leads(&self, path: Path) {
        if let Some(task) = self.live.lock().by_id.get_mut(&self.id) {
            task.path = Some(Box::new(path));
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.live.lock().by_id.remove(&self.id);
    }
}

/// What is listened at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) protocol: Protocol,
    pub(super) destination: SocketAddr,
}
