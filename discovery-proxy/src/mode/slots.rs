//! What a mode keeps for each endpoint, under ids that an endpoint at the same address later does not share.

use std::{collections::HashMap, net::SocketAddr};

use crate::table::BuildMixer;

/// Contents by address and by id. Adding, finding and removing one does not depend on how many there are.
#[derive(Debug)]
pub(super) struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    by_addr: HashMap<SocketAddr, u32, BuildMixer>,
}

#[derive(Debug)]
struct Slot<T> {
    /// The number of times that the slot has been emptied.
    generation: u32,
    content: Option<(SocketAddr, T)>,
}

/// The id of a content, which no content after it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id {
    slot: u32,
    generation: u32,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), by_addr: HashMap::default() }
    }
}

impl<T> Slots<T> {
    pub(super) fn find(&self, addr: SocketAddr) -> Option<Id> {
        let slot = *self.by_addr.get(&addr)?;
        self.slots.get(slot as usize).map(|found| Id { slot, generation: found.generation })
    }

    pub(super) fn get(&self, id: Id) -> Option<&(SocketAddr, T)> {
        self.slots.get(id.slot as usize).filter(|slot| slot.generation == id.generation)?.content.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        let slot = self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)?;
        slot.content.as_mut().map(|(_, content)| content)
    }

    /// Adds a content. One that the address already has is replaced, and its id ends.
    pub(super) fn insert(&mut self, addr: SocketAddr, content: T) -> Option<Id> {
        if let Some(old) = self.find(addr) {
            self.remove(old);
        }
        let slot = self.free.pop().or_else(|| {
            let slot = u32::try_from(self.slots.len()).ok()?;
            self.slots.push(Slot { generation: 0, content: None });
            Some(slot)
        })?;
        let place = self.slots.get_mut(slot as usize)?;
        place.content = Some((addr, content));
        self.by_addr.insert(addr, slot);
        Some(Id { slot, generation: place.generation })
    }

    pub(super) fn remove(&mut self, id: Id) -> Option<T> {
        let slot = self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)?;
        let (addr, content) = slot.content.take()?;
        // After 2^32 removals an id could come back, so the slot stays empty instead.
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            self.free.push(id.slot);
        }
        self.by_addr.remove(&addr);
        Some(content)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_addr.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_at_an_address_of_a_removed_one_has_another_id() {
        let addr: SocketAddr = ([10, 0, 0, 1], 80).into();
        let mut slots = Slots::default();
        let first = slots.insert(addr, "first").expect("an id");
        assert_eq!((slots.find(addr), slots.get(first)), (Some(first), Some(&(addr, "first"))));
        assert_eq!(slots.remove(first), Some("first"));
        assert_eq!(slots.remove(first), None);
        assert_eq!((slots.find(addr), slots.get(first)), (None, None));
        let second = slots.insert(addr, "second").expect("an id");
        assert_eq!(slots.get_mut(first), None);
        assert_eq!(slots.get_mut(second), Some(&mut "second"));
        let third = slots.insert(addr, "third").expect("an id");
        assert_eq!((slots.get(second), slots.get(third)), (None, Some(&(addr, "third"))));
        slots.remove(third);
        assert!(slots.is_empty());
    }
}
