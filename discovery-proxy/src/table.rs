//! A hash table whose clones share unchanged entries.
//!
//! Readers hold a clone while the next version is made. Changing an entry copies the list of shards and the shard of
//! the entry, both of bounded size, and nothing else. So the cost of a change does not depend on the number of entries:
//! with 50 000 entries, a shard holds about fifty.

use std::{
    fmt,
    hash::{BuildHasherDefault, Hash, Hasher},
    sync::Arc,
};

/// A hash table that is cheap to clone and to change afterwards.
pub(super) struct Table<K, V> {
    shards: Arc<[Arc<Shard<K, V>>]>,
    len: usize,
}

/// Balances the two copies that a change makes: the list of shards, and the entries of one shard in the largest
/// clusters.
const SHARDS: usize = 1024;

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        let empty = Arc::new(Shard { slots: Vec::new(), len: 0 });
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
        let hash = hash_of(key);
        self.shards.get(shard_of(hash))?.get(key, hash)
    }

    /// All entries, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.shards.iter().flat_map(|shard| &shard.slots).flat_map(|slot| &slot.0).map(|(key, value)| (key, value))
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Table<K, V> {
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let hash = hash_of(&key);
        let old = self.shard(hash)?.insert(key, value, hash);
        self.len += usize::from(old.is_none());
        old
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        self.get(key)?;
        let hash = hash_of(key);
        let old = self.shard(hash)?.remove(key, hash);
        self.len -= usize::from(old.is_some());
        old
    }

    /// The shard for a hash, cloned first if it is shared.
    fn shard(&mut self, hash: u64) -> Option<&mut Shard<K, V>> {
        Arc::make_mut(&mut self.shards).get_mut(shard_of(hash)).map(Arc::make_mut)
    }
}

/// Open addressing: an entry is in the slot that its hash names, or in the next one that was free. A lookup therefore
/// waits for one cache line. (The standard library's map keeps its tags elsewhere, and waits for two.)
#[derive(Clone)]
struct Shard<K, V> {
    /// A power of two or zero; at most two in three are occupied.
    slots: Vec<Slot<K, V>>,
    len: usize,
}

/// A slot with a cache line of its own, if the entry fits.
#[derive(Clone)]
#[repr(align(64))]
struct Slot<K, V>(Option<(K, V)>);

impl<K: Eq + Hash, V> Shard<K, V> {
    fn get(&self, key: &K, hash: u64) -> Option<&V> {
        self.slots.get(self.find(key, hash)?)?.0.as_ref().map(|(_, value)| value)
    }

    /// The slot of `key`, or the free slot where it would go; `None` if the shard is empty.
    fn find(&self, key: &K, hash: u64) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = hash as usize & mask;
        while self.slots.get(at)?.0.as_ref().is_some_and(|(other, _)| other != key) {
            at = (at + 1) & mask;
        }
        Some(at)
    }

    fn insert(&mut self, key: K, value: V, hash: u64) -> Option<V> {
        if (self.len + 1) * 3 > self.slots.len() * 2 {
            self.grow();
        }
        let at = self.find(&key, hash)?;
        let old = self.slots.get_mut(at)?.0.replace((key, value));
        self.len += usize::from(old.is_none());
        old.map(|(_, value)| value)
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(8);
        let old = std::mem::replace(&mut self.slots, std::iter::repeat_with(|| Slot(None)).take(size).collect());
        old.into_iter().filter_map(|slot| slot.0).for_each(|(key, value)| self.put(key, value));
    }

    fn put(&mut self, key: K, value: V) {
        let hash = hash_of(&key);
        if let Some(slot) = self.find(&key, hash).and_then(|at| self.slots.get_mut(at)) {
            slot.0 = Some((key, value));
        }
    }

    /// Removes an entry, and reinserts the entries that follow without a gap: this one may have displaced them.
    fn remove(&mut self, key: &K, hash: u64) -> Option<V> {
        let at = self.find(key, hash)?;
        let (_, old) = self.slots.get_mut(at)?.0.take()?;
        self.len -= 1;
        let mask = self.slots.len() - 1;
        let mut next = (at + 1) & mask;
        while let Some((key, value)) = self.slots.get_mut(next).and_then(|slot| slot.0.take()) {
            self.put(key, value);
            next = (next + 1) & mask;
        }
        Some(old)
    }
}

impl<K, V> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("len", &self.len).finish_non_exhaustive()
    }
}

fn hash_of<K: Hash>(key: &K) -> u64 {
    let mut hasher = Mixer::default();
    key.hash(&mut hasher);
    hasher.finish()
}

/// Selects the shard by bits that the shard itself does not use.
const fn shard_of(hash: u64) -> usize {
    (hash >> 32) as usize % SHARDS
}

pub(super) type BuildMixer = BuildHasherDefault<Mixer>;

/// A hasher that depends on the key alone, because decisions must not read entropy.
///
/// Most keys are addresses and names that the cluster's administrators choose. Where clients choose the keys, entries
/// expire.
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

    /// Folds the 128 bits of a product, so that every bit of the input affects every bit of the state.
    fn write_u64(&mut self, value: u64) {
        let product = u128::from(self.state ^ value ^ 0x9e37_79b9_7f4a_7c15) * 0xbf58_476d_1ce4_e5b9;
        self.state = (product >> 64) as u64 ^ product as u64;
    }

    fn finish(&self) -> u64 {
        self.state
    }
}
