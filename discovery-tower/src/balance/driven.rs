//! The service of one endpoint, and the task that drives it while it is not ready.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{runtime::Handle, task::JoinHandle};
use tower::Service;

/// The service of one endpoint. A call that finds it not ready goes elsewhere, so a task polls a clone of it meanwhile: some
/// services make progress only while they are polled.
#[derive(Clone, Debug)]
pub(super) struct Driven<S> {
    service: S,
    driver: Arc<Driver>,
}

/// The task, of which each endpoint has one at most. It ends when the service is ready, or with the endpoint.
#[derive(Debug, Default)]
struct Driver(Mutex<Option<JoinHandle<()>>>);

impl<S> Driven<S> {
    pub(super) fn new(service: S) -> Self {
        Self { service, driver: Arc::default() }
    }

    pub(super) fn service(&mut self) -> &mut S {
        &mut self.service
    }

    pub(super) fn into_service(self) -> S {
        self.service
    }

    /// Polls the service in the background until it is ready.
    pub(super) fn drive<Req>(self)
    where
        S: Service<Req> + Send + 'static,
    {
        let Ok(runtime) = Handle::try_current() else { return };
        let Self { mut service, driver } = self;
        let mut task = driver.0.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            *task = Some(runtime.spawn(async move {
                // What it says is for the calls that come; this clone only makes it go on.
                let _ = poll_fn(|context| service.poll_ready(context)).await;
            }));
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let task = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task {
            task.abort();
        }
    }
}
