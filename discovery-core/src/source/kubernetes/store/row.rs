//! One object that is known.

use std::{sync::Arc, time::Instant};

/// One object, and until when it is kept although it was missing from a list.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Row<T> {
    pub(super) object: Arc<T>,
    pub(super) doubted: Option<Instant>,
}

impl<T> Row<T> {
    pub(super) fn new(object: T) -> Self {
        Self { object: Arc::new(object), doubted: None }
    }
}
