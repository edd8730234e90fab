//! What is kept for each origin or host, as long as it is in use.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// What nobody has used for so long goes, with its background work, when the next new one comes: an
/// application that follows links into the open would otherwise keep every host that it has ever seen up to
/// date.
const UNUSED: Duration = Duration::from_secs(300);

/// A value for each text that was used lately: looking up the text as it stands in a URL costs less than reading
/// a target from it.
pub(crate) struct Kept<T> {
    entries: RwLock<HashMap<Box<str>, Entry<T>>>,
    start: Instant,
}

struct Entry<T> {
    value: T,
    /// Milliseconds since `start`.
    used: AtomicU64,
}

impl<T: Clone> Kept<T> {
    pub(crate) fn new(now: Instant) -> Self {
        Self { entries: RwLock::default(), start: now }
    }

    /// The value of `key`, made if there is none.
    pub(crate) fn get_or_try_insert<E>(
        &self,
        key: &str,
        now: Instant,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let millis = self.millis(now);
        if let Some(entry) = self.entries.read().unwrap_or_else(PoisonError::into_inner).get(key) {
            entry.used.store(millis, Ordering::Relaxed);
            return Ok(entry.value.clone());
        }
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get(key) {
            return Ok(entry.value.clone());
        }
        let unused = u64::try_from(UNUSED.as_millis()).unwrap_or(u64::MAX);
        entries.retain(|_, entry| millis.saturating_sub(entry.used.load(Ordering::Relaxed)) < unused);
        let value = make()?;
        entries.insert(key.into(), Entry { value: value.clone(), used: AtomicU64::new(millis) });
        Ok(value)
    }

    fn millis(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.start).as_millis()).unwrap_or(u64::MAX)
    }
}

impl<T> fmt::Debug for Kept<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn what_is_unused_for_five_minutes_goes_when_something_new_comes() {
        let start = Instant::now();
        let kept = Kept::new(start);
        let at = |name: &str, seconds: u64, value: u32| {
            let now = start + Duration::from_secs(seconds);
            kept.get_or_try_insert(name, now, || Ok::<_, Infallible>(value)).unwrap()
        };
        assert_eq!(at("a", 0, 1), 1);
        assert_eq!(at("b", 0, 2), 2);
        assert_eq!(at("a", 200, 3), 1, "kept, and in use");
        assert_eq!(at("c", 301, 4), 4, "drops b");
        assert_eq!(at("a", 302, 5), 1);
        assert_eq!(at("b", 303, 6), 6, "made anew");
    }
}
