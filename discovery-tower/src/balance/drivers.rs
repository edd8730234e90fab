//! Tasks that poll services which are not ready.

use std::{
    future::poll_fn,
    sync::{Mutex, PoisonError},
};

use discovery_core::endpoint::{EndpointSet, Identity};
use tokio::{runtime::Handle, task::JoinHandle};
use tower::Service;

/// The tasks of one balancer, at most one for each endpoint. A call that finds a service not ready goes elsewhere, so a task
/// polls a clone of the service meanwhile: some services make progress only while they are polled. A task ends when its
/// service is ready, or with the balancer.
#[derive(Debug, Default)]
pub(super) struct Drivers(Mutex<Vec<(Identity, JoinHandle<()>)>>);

impl Drivers {
    /// Polls the service of `endpoint` in the background until it is ready. Ends the tasks of endpoints that have left the
    /// set.
    pub(super) fn drive<S, Req>(&self, endpoint: Identity, mut service: S, endpoints: &EndpointSet)
    where
        S: Service<Req> + Send + 'static,
    {
        let Ok(runtime) = Handle::try_current() else { return };
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|(endpoint, task)| {
            let is_needed = !task.is_finished() && endpoints.get_by_identity(endpoint).is_some();
            if !is_needed {
                task.abort();
            }
            is_needed
        });
        if tasks.iter().all(|(driven, _)| *driven != endpoint) {
            let task = runtime.spawn(async move {
                // The result is for the calls that follow: this clone only keeps the service going.
                let _ = poll_fn(|context| service.poll_ready(context)).await;
            });
            tasks.push((endpoint, task));
        }
    }
}

impl Drop for Drivers {
    fn drop(&mut self) {
        let tasks = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        tasks.iter().for_each(|(_, task)| task.abort());
    }
}
