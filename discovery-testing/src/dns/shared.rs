use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::{
    question::Asked,
    script::Script,
    zone::{Order, Zone},
};

/// What the server tasks and the handle both hold.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    recorded: watch::Sender<()>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) zone: Zone,
    pub(crate) order: Order,
    pub(crate) script: Script,
    pub(crate) journal: Vec<Asked>,
}

impl Shared {
    pub(super) fn new(zone: Zone, order: Order) -> Self {
        let state = State { zone, order, script: Script::default(), journal: Vec::new() };
        Self { state: Mutex::new(state), recorded: watch::Sender::new(()) }
    }

    /// A test that panics in a predicate must not hide its message behind a poisoned lock.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes those who wait for questions.
    pub(crate) fn announce(&self) {
        self.recorded.send_replace(());
    }

    pub(super) fn news(&self) -> watch::Receiver<()> {
        self.recorded.subscribe()
    }
}
