//! A hash table whose copies share what has not changed.
//!
//! Readers hold a copy while the next one is made: changing an entry copies the list of shards and the one shard
//! that the entry is in, both of bounded size, and nothing else. So the cost of a change does not depend
//! on the number of entries: a shard of 50 000 entries holds a hundred.

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, BuildHasherDefault, Hash, Hasher},
    sync::Arc,
};

/// A hash table that is cheap to copy and to change afterwards.
pub(super) struct Table<K, V> {
    shards: Arc<[Arc<Shard<K, V>>]>,
    len: usize,
}

type Shard<K, V> = HashMap<K, V, BuildMixer>;

/// As many list entries to copy at a change as there are, roughly, entries in a shard of the largest clusters.
const SHARDS: usize = 512;

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        let empty = Arc::new(Shard::default());
        Self { shards: (0..SHARDS).map(|_| empty.clone()).collect(), len: 0 }
    }
}

impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        Self { shards: self.shards.clone(), len: self.len }
    }
}

impl<K: Eq + Hash, V> Table<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.shards.get(shard_of(key))?.get(key)
    }

    #[cfg(test)]
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// All entries, in no order that means anything.
    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.shards.iter().flat_map(|shard| shard.values())
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Table<K, V> {
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let old = self.shard(&key)?.insert(key, value);
        self.len += usize::from(old.is_none());
        old
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        self.get(key)?;
        let old = self.shard(key)?.remove(key);
        self.len -= usize::from(old.is_some());
        old
    }

    /// The shard of `key`, our own from here on.
    fn shard(&mut self, key: &K) -> Option<&mut Shard<K, V>> {
        Arc::make_mut(&mut self.shards).get_mut(shard_of(key)).map(Arc::make_mut)
    }
}

impl<K, V> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("len", &self.len).finish_non_exhaustive()
    }
}

/// By bits that a shard's own table does not look at: that takes the lowest and the seven highest.
fn shard_of<K: Hash>(key: &K) -> usize {
    (BuildMixer::default().hash_one(key) >> 32) as usize % SHARDS
}

pub(super) type BuildMixer = BuildHasherDefault<Mixer>;

/// A hash that depends on the key alone: the pure floors ask for no entropy. Keys are addresses and names that the
/// cluster's administrators have chosen; where clients choose them, tables are bounded in time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mixer {
    state: u64,
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(value.into());
    }

    fn write_u16(&mut self, value: u16) {
        self.write_u64(value.into());
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(value.into());
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    /// Folds the 128 bits of a product: every bit of the input reaches every bit of the state.
    fn write_u64(&mut self, value: u64) {
        let product = u128::from(self.state ^ value ^ 0x9e37_79b9_7f4a_7c15) * 0xbf58_476d_1ce4_e5b9;
        self.state = (product >> 64) as u64 ^ product as u64;
    }

    fn finish(&self) -> u64 {
        self.state
    }
}
