//! The associations whose endpoint has not replied yet: the first to give way when the bound is reached, as conntrack
//! drops its unassured entries first (`early_drop`).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError, Weak},
};

/// The associations without a reply, by their age and by their source address.
#[derive(Debug)]
pub(super) struct Unreplied<A>(Mutex<Entries<A>>);

#[derive(Debug)]
struct Entries<A> {
    next_id: u64,
    by_age: BTreeMap<u64, (IpAddr, Weak<A>)>,
    /// Uses the standard hasher, because clients choose the keys.
    by_source: HashMap<IpAddr, BTreeSet<u64>>,
}

impl<A> Default for Unreplied<A> {
    fn default() -> Self {
        Self(Mutex::new(Entries { next_id: 0, by_age: BTreeMap::new(), by_source: HashMap::new() }))
    }
}

impl<A> Unreplied<A> {
    /// Adds an association, and returns what [`remove`](Self::remove) wants.
    pub(super) fn add(&self, source: IpAddr, association: Weak<A>) -> u64 {
        let mut entries = self.lock();
        let id = entries.next_id;
        entries.next_id += 1;
        entries.by_age.insert(id, (source, association));
        entries.by_source.entry(source).or_default().insert(id);
        id
    }

    /// Removes an association that has a reply, or has ended.
    pub(super) fn remove(&self, id: u64) {
        self.lock().remove(id);
    }

    /// Removes and returns the oldest association; with `source`, the oldest one of this source address.
    pub(super) fn take_oldest(&self, source: Option<IpAddr>) -> Option<Weak<A>> {
        let mut entries = self.lock();
        let id = match source {
            Some(source) => *entries.by_source.get(&source)?.first()?,
            None => *entries.by_age.first_key_value()?.0,
        };
        entries.remove(id)
    }

    fn lock(&self) -> MutexGuard<'_, Entries<A>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A> Entries<A> {
    fn remove(&mut self, id: u64) -> Option<Weak<A>> {
        let (source, association) = self.by_age.remove(&id)?;
        if let Some(ids) = self.by_source.get_mut(&source) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_source.remove(&source);
            }
        }
        Some(association)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_oldest_gives_way_first_and_within_a_source_if_one_is_named() {
        let unreplied = Unreplied::default();
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let all: Vec<_> = [one, one, other, other, one].into_iter().enumerate().collect();
        let kept: Vec<_> = all.iter().map(|(n, source)| (Arc::new(*n), *source)).collect();
        let ids: Vec<_> = kept.iter().map(|(n, source)| unreplied.add(*source, Arc::downgrade(n))).collect();
        let oldest = |source| unreplied.take_oldest(source).and_then(|weak: Weak<usize>| weak.upgrade()).map(|n| *n);
        unreplied.remove(ids[0]);
        assert_eq!([oldest(Some(other)), oldest(None), oldest(Some(one)), oldest(None)], [2, 1, 4, 3].map(Some));
        assert_eq!((oldest(None), oldest(Some(one))), (None, None));
        assert!(unreplied.lock().by_source.is_empty());
    }
}
