//! How much a body may contain.

use std::cell::Cell;

use serde::de;

/// How many VIPs and metadata entries the instances may have on average.
const TEXTS_PER_INSTANCE: usize = 8;

/// How much a body may still contain.
#[derive(Debug)]
pub(super) struct Allowance {
    instances: Cell<usize>,
    /// VIPs and metadata entries.
    texts: Cell<usize>,
    is_exceeded: Cell<bool>,
}

impl Allowance {
    pub(super) fn new(instances: usize) -> Self {
        let texts = instances.saturating_mul(TEXTS_PER_INSTANCE);
        Self { instances: Cell::new(instances), texts: Cell::new(texts), is_exceeded: Cell::new(false) }
    }

    pub(super) fn is_exceeded(&self) -> bool {
        self.is_exceeded.get()
    }

    /// # Errors
    /// If the body contains more instances than it may.
    pub(super) fn take_instance<E: de::Error>(&self) -> Result<(), E> {
        self.take(&self.instances, 1)
    }

    /// # Errors
    /// If the body contains more VIPs and metadata entries than it may.
    pub(super) fn take_texts<E: de::Error>(&self, count: usize) -> Result<(), E> {
        self.take(&self.texts, count)
    }

    fn take<E: de::Error>(&self, from: &Cell<usize>, count: usize) -> Result<(), E> {
        match from.get().checked_sub(count) {
            Some(left) => {
                from.set(left);
                Ok(())
            }
            None => {
                self.is_exceeded.set(true);
                Err(E::custom("too many instances, VIPs or metadata entries"))
            }
        }
    }
}
