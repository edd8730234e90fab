//! What a registration sends, and how that can end: the words between the machine and its driver.

use std::{collections::BTreeSet, time::Instant};

use crate::{Error, Instance, Status};

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Send the record. `dirty` is the time of its latest change.
    Register {
        dirty: u64,
    },
    Heartbeat {
        dirty: u64,
    },
    /// Read the record back.
    Verify,
    PutOverride(Status),
    RemoveOverride(Status),
    Metadata(BTreeSet<String>),
    Wait(Instant),
}

/// The outcome of a step.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Done,
    /// The registry does not know this pod (404).
    Unknown,
    Failed(Error),
    /// The record that the registry holds.
    Held(Box<Instance>),
}

impl Outcome {
    /// Whether the registry responded, and refused the request for good.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Failed(error) if is_refusal(error))
    }
}

/// Returns whether a registry responded, and refused the request for good.
pub(super) fn is_refusal(error: &Error) -> bool {
    error.status().is_some_and(|status| (400..500).contains(&status))
}
