//! What requests report to the background task.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::Notify;

use crate::{
    endpoint::{Endpoint, Identity},
    policy::Listener,
};

/// Collects reports until the background task takes them.
#[derive(Debug, Default)]
pub(super) struct RequestReports {
    unreachable: Mutex<BTreeSet<Identity>>,
    refresh_requested: AtomicBool,
    arrived: Notify,
}

impl RequestReports {
    /// Reports that a caller wants the sources to be queried soon.
    pub(super) fn request_refresh(&self) {
        self.refresh_requested.store(true, Ordering::Release);
        self.wake();
    }

    /// Wakes the background task. Another task that is not driven any more may still be registered: it must not
    /// swallow the wake-up, so every registered task is woken, and one that is not registered yet as well.
    pub(super) fn wake(&self) {
        self.arrived.notify_waiters();
        self.arrived.notify_one();
    }

    /// Completes after [`RequestReports::wake`].
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Takes the endpoints that requests could not connect to since the last call.
    pub(super) fn take_unreachable(&self) -> BTreeSet<Identity> {
        std::mem::take(&mut self.unreachable())
    }

    /// Whether a caller has requested a refresh since the last call.
    pub(super) fn take_refresh_request(&self) -> bool {
        self.refresh_requested.swap(false, Ordering::AcqRel)
    }

    /// Ignores poisoning: an insertion is complete or has not happened, so a panic elsewhere leaves the set valid.
    fn unreachable(&self) -> MutexGuard<'_, BTreeSet<Identity>> {
        self.unreachable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for RequestReports {
    fn unreachable(&self, endpoint: &Endpoint) {
        self.unreachable().insert(endpoint.identity().clone());
        self.wake();
    }
}
