//! Where tasks run: on the caller's runtime, or on threads of the forwarder's own.

use std::{
    fmt, io,
    sync::Arc,
    thread::{self, JoinHandle},
};

use tokio::{
    runtime::{Builder, Handle},
    sync::{Semaphore, oneshot},
};

use super::live::Live;

/// A place to run tasks on, and the connections that are there.
pub(super) struct Worker {
    pub(super) runtime: Handle,
    pub(super) live: Arc<Live>,
    thread: Option<Thread>,
}

struct Thread {
    stop: oneshot::Sender<()>,
    join: JoinHandle<()>,
}

impl Worker {
    /// On the caller's runtime.
    pub(super) fn here(runtime: Handle, limit: Arc<Semaphore>) -> Self {
        Self { runtime, live: Live::new(limit), thread: None }
    }

    /// On a thread of its own with a runtime of its own: a connection is carried where it was accepted, and waking it
    /// needs no other thread.
    pub(super) fn on_thread(at: usize, limit: Arc<Semaphore>) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let join = thread::Builder::new().name(format!("forward-{at}")).spawn(move || {
            // An error is the sender's end: the forwarder is gone, which means the same.
            let _ = runtime.block_on(stopped);
            // Dropping the runtime drops all tasks, and so closes all sockets.
            drop(runtime);
        })?;
        Ok(Self { runtime: handle, live: Live::new(limit), thread: Some(Thread { stop, join }) })
    }

    /// Ends the thread, if it has one, and waits for it.
    pub(super) async fn stop(&mut self) {
        if let Some(Thread { stop, join }) = self.thread.take() {
            let _ = stop.send(());
            // Joining blocks; a panic there has been printed, and there is nothing left to do about it.
            let _ = tokio::task::spawn_blocking(move || join.join()).await;
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.live.abort_all();
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("connections", &self.live.len()).finish_non_exhaustive()
    }
}
