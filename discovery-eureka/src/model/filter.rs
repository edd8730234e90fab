//! Which instances of an application are chosen.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use discovery_core::text::printable;

use super::Instance;

type Condition = Arc<dyn Fn(&Instance) -> bool + Send + Sync>;

/// Conditions that an instance has to meet; every instance meets an empty filter. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct InstanceFilter(Vec<Condition>);

impl InstanceFilter {
    /// Adds a condition.
    pub(crate) fn add(&mut self, condition: impl Fn(&Instance) -> bool + Send + Sync + 'static) {
        self.0.push(Arc::new(condition));
    }

    /// Adds the condition that a metadata entry has this value.
    pub(crate) fn add_metadata(&mut self, key: String, value: String) {
        self.add(move |instance| instance.metadata.get(&key) == Some(&value));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether the instance meets all conditions. A condition that panics is not met.
    pub(crate) fn accepts(&self, instance: &Instance) -> bool {
        self.0.iter().all(|condition| {
            catch_unwind(AssertUnwindSafe(|| condition(instance))).unwrap_or_else(|_| {
                let id = printable(&instance.id, 80);
                tracing::warn!(%id, "a condition on instances panicked, leaving the instance out");
                false
            })
        })
    }
}

impl fmt::Debug for InstanceFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("InstanceFilter").field(&self.0.len()).finish()
    }
}
