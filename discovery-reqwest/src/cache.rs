//! A cache of what belongs to an origin or a host, as long as it is in use.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;

/// An entry that was not used for this long, or at most twice as long, is dropped with its background work when the next
/// entry is inserted. An application that follows links would otherwise refresh every host that it has ever seen.
const UNUSED: Duration = Duration::from_secs(300);

/// A value for each recently used text. Looking up the text as it stands in a URL costs less than parsing a target from it.
pub(crate) struct Cache<T> {
    entries: RwLock<Entries<T>>,
}

struct Entries<T> {
    by_text: HashMap<Box<str>, Entry<T>, RandomState>,
    /// When unused entries were dropped and the others were marked as unused. An entry has a mark instead of a time, so
    /// that using it does not read the clock.
    swept: Instant,
}

struct Entry<T> {
    value: T,
    /// The entry was used since `swept`.
    used: AtomicBool,
}

impl<T: Clone> Cache<T> {
    pub(crate) fn new(now: Instant) -> Self {
        Self { entries: RwLock::new(Entries { by_text: HashMap::default(), swept: now }) }
    }

    /// The value of `key`, if there is one.
    pub(crate) fn get(&self, key: &str) -> Option<T> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.by_text.get(key)?;
        // Read first: a write would take the cache line from the other processors each time.
        if !entry.used.load(Ordering::Relaxed) {
            entry.used.store(true, Ordering::Relaxed);
        }
        Some(entry.value.clone())
    }

    /// The value of `key`, made if there is none. Other callers are not blocked meanwhile. If two make the same value at a
    /// time, the first one to be ready is kept.
    pub(crate) fn get_or_try_insert<E>(
        &self,
        key: &str,
        now: impl FnOnce() -> Instant,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        if let Some(value) = self.get(key) {
            return Ok(value);
        }
        let (value, now) = (make()?, now());
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let unused = entries.sweep(now);
        let entry = entries.by_text.entry(key.into());
        let value = entry.or_insert(Entry { value, used: AtomicBool::new(true) }).value.clone();
        drop(entries);
        // Drop them after the lock: they may be a hundred connection pools.
        drop(unused);
        Ok(value)
    }
}

impl<T> Entries<T> {
    /// Removes the entries that were not used since the last sweep, if that was long enough ago.
    fn sweep(&mut self, now: Instant) -> Vec<Entry<T>> {
        if now.saturating_duration_since(self.swept) < UNUSED {
            return Vec::new();
        }
        self.swept = now;
        let unused = self.by_text.extract_if(|_, entry| !std::mem::take(entry.used.get_mut()));
        unused.map(|(_, entry)| entry).collect()
    }
}

impl<T> fmt::Debug for Cache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn drops_unused_entries_when_a_new_one_is_inserted() {
        let start = Instant::now();
        let cache = Cache::new(start);
        let at = |name: &str, seconds: u64, value: u32| {
            let now = || start + Duration::from_secs(seconds);
            cache.get_or_try_insert(name, now, || Ok::<_, Infallible>(value)).unwrap()
        };
        assert_eq!(at("a", 0, 1), 1);
        assert_eq!(at("b", 0, 2), 2);
        assert_eq!(at("c", 299, 3), 3);
        assert_eq!(at("d", 300, 4), 4, "all have been used in the first five minutes");
        assert_eq!(at("a", 450, 5), 1, "in use, and therefore kept");
        assert_eq!(at("e", 600, 6), 6, "drops b and c");
        assert_eq!(at("a", 601, 7), 1);
        assert_eq!(at("d", 601, 8), 4);
        assert_eq!(at("b", 602, 9), 9, "made again");
    }

    #[test]
    fn does_not_block_other_keys_while_a_value_is_made() {
        let start = Instant::now();
        let cache = Cache::new(start);
        let get = |name: &str, value: u32| cache.get_or_try_insert(name, || start, || Ok::<_, Infallible>(value));
        get("known", 1).unwrap();
        let made = cache.get_or_try_insert(
            "new",
            || start,
            || {
                // Under a lock either of these would hang.
                assert_eq!(get("known", 2), Ok(1));
                get("another", 3)?;
                get("new", 4)?;
                Ok::<_, Infallible>(5)
            },
        );
        assert_eq!(made, Ok(4), "the first one to be ready is kept");
    }
}
