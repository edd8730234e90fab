//! Which values are kept: those used most recently, up to a number and an age. Without a clock: its owner says when time
//! has passed.

use std::{
    collections::{HashMap, VecDeque},
    sync::atomic::{AtomicU64, Ordering},
};

use foldhash::fast::RandomState;

/// A value is dropped at the fifth call of [`Table::age`] since its last use, and so after four to five intervals.
pub(super) const AGES: usize = 5;

/// Values by their texts.
pub(super) struct Table<T> {
    by_text: HashMap<Box<str>, Entry<T>, RandomState>,
    capacity: usize,
    /// Counts insertions and calls of [`age`](Self::age). A use is marked with this count instead of a time, so that it
    /// neither reads a clock nor writes where another use has written the same.
    count: u64,
    /// The counts at the last calls of [`age`](Self::age), oldest first.
    ages: VecDeque<u64>,
}

struct Entry<T> {
    value: T,
    /// The count at the last use.
    used: AtomicU64,
}

impl<T: Clone> Table<T> {
    /// An empty table for at least one value.
    pub(super) fn new(capacity: usize) -> Self {
        Self { by_text: HashMap::default(), capacity: capacity.max(1), count: 0, ages: VecDeque::new() }
    }

    /// The value of `key`, which is used now.
    pub(super) fn get(&self, key: &str) -> Option<T> {
        let entry = self.by_text.get(key)?;
        // Read first: a write would take the cache line from the other processors each time.
        if entry.used.load(Ordering::Relaxed) != self.count {
            entry.used.store(self.count, Ordering::Relaxed);
        }
        Some(entry.value.clone())
    }

    /// Adds a value, unless `key` has one. Returns the value of `key`, and the value that made room for it.
    pub(super) fn insert(&mut self, key: &str, value: T) -> (T, Option<T>) {
        if let Some(value) = self.get(key) {
            return (value, None);
        }
        let evicted = if self.by_text.len() < self.capacity { None } else { self.evict() };
        self.count += 1;
        self.by_text.insert(key.into(), Entry { value: value.clone(), used: AtomicU64::new(self.count) });
        (value, evicted)
    }

    /// Removes the least recently used value. Among values used since the last insertion, any of them.
    fn evict(&mut self) -> Option<T> {
        let used = |entry: &Entry<T>| entry.used.load(Ordering::Relaxed);
        let key = self.by_text.iter().min_by_key(|(_, entry)| used(entry)).map(|(key, _)| key.clone())?;
        self.by_text.remove(&key).map(|entry| entry.value)
    }
}

impl<T> Table<T> {
    /// One interval has passed: removes the values that were not used since [`AGES`] calls, this one included.
    pub(super) fn age(&mut self) -> Vec<T> {
        if self.ages.len() == AGES {
            self.ages.pop_front();
        }
        self.count += 1;
        self.ages.push_back(self.count);
        let Some(oldest) = self.ages.front().copied().filter(|_| self.ages.len() == AGES) else { return Vec::new() };
        let unused = self.by_text.extract_if(|_, entry| *entry.used.get_mut() < oldest);
        unused.map(|(_, entry)| entry.value).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_text.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_value_makes_room() {
        let mut table = Table::new(3);
        for (key, value) in [("a", 1), ("b", 2), ("c", 3)] {
            assert_eq!(table.insert(key, value), (value, None));
        }
        assert_eq!(table.get("a"), Some(1));
        assert_eq!(table.insert("d", 4), (4, Some(2)));
        assert_eq!(table.insert("a", 5), (1, None), "kept");
        assert_eq!(table.insert("e", 6), (6, Some(3)));
        assert_eq!((table.get("a"), table.get("d"), table.get("e")), (Some(1), Some(4), Some(6)));
        assert_eq!(Table::new(0).insert("a", 1), (1, None), "a table holds at least one value");
    }

    #[test]
    fn a_value_is_dropped_after_four_to_five_intervals() {
        let mut table = Table::new(8);
        for _ in 0..7 {
            table.age();
        }
        table.insert("unused", 1);
        table.insert("used", 2);
        for _ in 0..AGES - 1 {
            assert!(table.age().is_empty());
        }
        assert_eq!(table.get("used"), Some(2));
        assert_eq!(table.age(), [1]);
        for _ in 0..AGES - 2 {
            assert!(table.age().is_empty());
        }
        assert_eq!(table.age(), [2]);
        assert!(table.is_empty());
    }
}
