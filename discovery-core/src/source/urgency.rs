//! How urgently a round of queries is needed.
//!
//! The resolver sets it, and the gate of the DNS source reads it. It is not an argument of [`Lookup`](super::Lookup),
//! because only the DNS source of this crate queues queries: it is a task-local value of the round instead.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

/// How urgently a round of queries is needed; a later variant is more urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    /// The endpoints in use are good: the round refreshes them.
    Refresh,
    /// A connect error or a caller asked for the round, or a retry follows a failure that left no endpoints.
    Requested,
    /// The target has no answer yet, or has no endpoints and a caller waits for some.
    FirstAnswer,
}

/// The urgency of one round. It can rise while the round waits for its turn.
#[derive(Clone, Debug)]
pub(crate) struct RoundUrgency(Arc<AtomicU8>);

tokio::task_local! {
    static OF_THIS_ROUND: RoundUrgency;
}

impl RoundUrgency {
    pub(crate) fn new(urgency: Urgency) -> Self {
        Self(Arc::new(AtomicU8::new(urgency as u8)))
    }

    /// Makes the round at least this urgent. What waits for its turn notices it when it is polled next.
    pub(crate) fn raise(&self, urgency: Urgency) {
        self.0.fetch_max(urgency as u8, Ordering::Relaxed);
    }

    /// Runs `round` with this urgency.
    pub(crate) fn scope<F: Future>(&self, round: F) -> impl Future<Output = F::Output> + use<F> {
        OF_THIS_ROUND.scope(self.clone(), round)
    }

    fn get(&self) -> Urgency {
        match self.0.load(Ordering::Relaxed) {
            0 => Urgency::Refresh,
            1 => Urgency::Requested,
            _ => Urgency::FirstAnswer,
        }
    }
}

impl Urgency {
    /// The urgency of the round that the current task runs. A query outside of a round, such as the one for the cluster
    /// domain, is as urgent as a first answer: every lookup that needs the domain waits for it.
    pub(crate) fn current() -> Self {
        OF_THIS_ROUND.try_with(RoundUrgency::get).unwrap_or(Self::FirstAnswer)
    }
}
