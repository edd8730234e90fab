//! A bounded cache of what belongs to an origin or a host, as long as it is in use.

mod table;

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock, RwLockWriteGuard, Weak},
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, task::AbortHandle};

use self::table::{AGES, Table};
use crate::client::now;

/// A value for each recently used text. Looking up the text as it stands in a URL costs less than parsing a target from it.
///
/// The values hold background work: a name is refreshed and connections stay open. Other parties choose names, as links
/// and redirects do, so the number of values is bounded, and a timer drops what is not used.
pub(crate) struct Cache<T>(Arc<Shared<T>>);

struct Shared<T> {
    entries: RwLock<Entries<T>>,
    limits: Limits,
}

struct Entries<T> {
    table: Table<T>,
    /// When the table was last aged.
    aged: Instant,
    /// The task that ages the table. It ends when the table is empty.
    timer: Option<AbortHandle>,
}

/// How many values are kept, and for how long without a use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The most values. The least recently used one makes room for a new one.
    pub(crate) capacity: usize,
    /// A value is dropped when it was not used for this long, or at most a quarter longer.
    pub(crate) unused: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // More than the Services that an application talks to, and few enough to refresh: about 35 queries a second
            // with the TTL of 30 s that CoreDNS sets.
            capacity: 1024,
            // Long enough for a job that runs every few minutes to find its connections open.
            unused: Duration::from_secs(300),
        }
    }
}

impl Limits {
    /// The time between two runs of the timer.
    fn interval(self) -> Duration {
        // tokio's timers have milliseconds.
        (self.unused / (AGES as u32 - 1)).max(Duration::from_millis(1))
    }
}

impl<T: Clone + Send + Sync + 'static> Cache<T> {
    pub(crate) fn new(limits: Limits, now: Instant) -> Self {
        let entries = Entries { table: Table::new(limits.capacity), aged: now, timer: None };
        Self(Arc::new(Shared { entries: RwLock::new(entries), limits }))
    }

    /// The value of `key`, if there is one.
    pub(crate) fn get(&self, key: &str) -> Option<T> {
        self.0.entries.read().unwrap_or_else(PoisonError::into_inner).table.get(key)
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
        let mut entries = self.0.write();
        // The timer may be on a runtime that is not driven.
        let mut dropped = self.0.age(&mut entries, now);
        let (value, evicted) = entries.table.insert(key, value);
        dropped.extend(evicted);
        self.start_timer(&mut entries);
        drop(entries);
        // Drop them after the lock: they may be a hundred connection pools.
        drop(dropped);
        Ok(value)
    }

    /// Starts the timer, unless it is running. Outside a Tokio runtime it is not started: the next new value starts it.
    fn start_timer(&self, entries: &mut Entries<T>) {
        let is_running = entries.timer.as_ref().is_some_and(|timer| !timer.is_finished());
        if !is_running && let Ok(runtime) = Handle::try_current() {
            let timer = runtime.spawn(keep_aging(Arc::downgrade(&self.0), self.0.limits.interval()));
            entries.timer = Some(timer.abort_handle());
        }
    }
}

impl<T> Shared<T> {
    fn write(&self) -> RwLockWriteGuard<'_, Entries<T>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the values that have not been used for long, if it is time to look for them.
    fn age(&self, entries: &mut Entries<T>, now: Instant) -> Vec<T> {
        if now.saturating_duration_since(entries.aged) < self.limits.interval() {
            return Vec::new();
        }
        entries.aged = now;
        entries.table.age()
    }
}

/// Drops unused values until the table is empty or gone.
async fn keep_aging<T>(shared: Weak<Shared<T>>, interval: Duration) {
    loop {
        tokio::time::sleep(interval).await;
        let Some(shared) = shared.upgrade() else { return };
        let mut entries = shared.write();
        let dropped = shared.age(&mut entries, now());
        let is_empty = entries.table.is_empty();
        if is_empty {
            // Under the lock, so that the next value starts another timer.
            entries.timer = None;
        }
        drop(entries);
        drop(dropped);
        if is_empty {
            return;
        }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        if let Some(timer) = &self.entries.get_mut().unwrap_or_else(PoisonError::into_inner).timer {
            timer.abort();
        }
    }
}

impl<T> fmt::Debug for Cache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("limits", &self.0.limits).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn does_not_block_other_keys_while_a_value_is_made() {
        let start = Instant::now();
        let cache = Cache::new(Limits::default(), start);
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

    #[tokio::test(start_paused = true)]
    async fn a_timer_drops_what_is_not_used() {
        let limits = Limits { unused: Duration::from_secs(300), ..Limits::default() };
        let cache = Cache::new(limits, now());
        let insert =
            |name: &str, value: u32| cache.get_or_try_insert(name, now, || Ok::<_, Infallible>(value)).unwrap();
        insert("used", 1);
        insert("unused", 2);
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_secs(50)).await;
            assert_eq!(cache.get("used"), Some(1));
        }
        assert_eq!(insert("unused", 3), 3, "dropped, and made again");
        tokio::time::sleep(Duration::from_secs(299)).await;
        assert!(cache.get("unused").is_some(), "not before the time is over");
        tokio::time::sleep(Duration::from_secs(401)).await;
        assert_eq!((cache.get("used"), cache.get("unused")), (None, None));
        assert!(cache.0.write().timer.is_none(), "the timer has ended");
        assert_eq!(insert("used", 4), 4);
        assert!(cache.0.write().timer.is_some());
    }
}
