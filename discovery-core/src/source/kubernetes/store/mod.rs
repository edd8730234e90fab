//! What is known of one namespace. Pure: the clock is an argument.

mod row;
mod table;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc, time::Instant};

pub(super) use row::Row;
pub(super) use table::Object;

use super::model::{Service, Slice};
use crate::name::ServiceName;

/// The Services and slices of one namespace, by Service.
///
/// It knows when not to believe a list: see [`replace`](Self::replace).
#[derive(Debug, Default)]
pub(super) struct Store {
    known: BTreeMap<ServiceName, Known>,
    /// Which Service a slice belongs to: a deletion and a change of its label name the slice only.
    owners: BTreeMap<Arc<str>, ServiceName>,
    changes: u64,
}

/// What is known of one Service.
#[derive(Debug, Default)]
pub(super) struct Known {
    service: BTreeMap<Arc<str>, Row<Service>>,
    slices: BTreeMap<Arc<str>, Row<Slice>>,
    version: u64,
}

impl Store {
    pub(super) fn get(&self, service: &ServiceName) -> Option<&Known> {
        self.known.get(service)
    }

    /// How many objects of the kind there are.
    pub(super) fn len<T: Object>(&self) -> usize {
        self.known.values().map(|known| T::rows(known).len()).sum()
    }

    /// One object is there, or has changed.
    pub(super) fn apply<T: Object>(&mut self, object: T) {
        let owner = object.owner().clone();
        let key = object.key();
        if T::owner_by_name(self, &key).is_some_and(|before| before != owner) {
            self.delete::<T>(&key);
        }
        self.drop_doubted::<T>(&owner);
        T::note_owner(self, &key, Some(owner.clone()));
        let known = self.known.entry(owner).or_default();
        let rows = T::rows_mut(known);
        let row = Row::new(object);
        if rows.get(&key) != Some(&row) {
            rows.insert(key, row);
            self.changes += 1;
            known.version = self.changes;
        }
    }

    /// One object has gone.
    pub(super) fn delete<T: Object>(&mut self, key: &str) {
        let Some(owner) = T::owner_by_name(self, key) else { return };
        T::note_owner(self, key, None);
        if let Some(known) = self.known.get_mut(&owner)
            && T::rows_mut(known).remove(key).is_some()
        {
            self.changes += 1;
            known.version = self.changes;
        }
        self.known.retain(|name, known| *name != owner || !known.is_empty());
    }

    /// A whole list has come. What it lacks goes, unless `doubt` says until when to keep it: then what belongs to a
    /// Service of which the list names nothing of this kind stays, as doubted.
    pub(super) fn replace<T: Object>(&mut self, objects: Vec<T>, doubt: Option<Instant>) {
        let named: BTreeMap<ServiceName, Vec<Arc<str>>> = objects.iter().fold(BTreeMap::new(), |mut named, object| {
            named.entry(object.owner().clone()).or_insert_with(Vec::new).push(object.key());
            named
        });
        let mut gone = Vec::new();
        for (owner, known) in &mut self.known {
            let in_list = named.get(owner);
            for (key, row) in T::rows_mut(known) {
                match (in_list, doubt) {
                    (Some(keys), _) if keys.contains(key) => {}
                    (None, Some(until)) => row.doubted = row.doubted.or(Some(until)),
                    _ => gone.push(key.clone()),
                }
            }
        }
        for key in gone {
            self.delete::<T>(&key);
        }
        for object in objects {
            self.apply(object);
        }
        self.touch_doubted();
    }

    /// Lets go of what has been doubted for too long, and says when to look again.
    pub(super) fn settle(&mut self, now: Instant) -> Option<Instant> {
        self.settle_kind::<Service>(now);
        self.settle_kind::<Slice>(now);
        let doubts = |known: &Known| known.doubts().min();
        self.known.values().filter_map(doubts).min()
    }

    fn settle_kind<T: Object>(&mut self, now: Instant) {
        let over = |row: &Row<T>| row.doubted.is_some_and(|until| until <= now);
        let rows = self.known.values().flat_map(|known| T::rows(known).iter());
        let gone: Vec<Arc<str>> = rows.filter(|(_, row)| over(row)).map(|(key, _)| key.clone()).collect();
        for key in gone {
            self.delete::<T>(&key);
        }
    }

    /// The controller gives new slices new names: beside a fresh one a doubted one says nothing.
    fn drop_doubted<T: Object>(&mut self, owner: &ServiceName) {
        let rows = self.known.get(owner).map(T::rows).into_iter().flatten();
        let doubted: Vec<Arc<str>> =
            rows.filter(|(_, row)| row.doubted.is_some()).map(|(key, _)| key.clone()).collect();
        for key in doubted {
            self.delete::<T>(&key);
        }
    }

    fn touch_doubted(&mut self) {
        for known in self.known.values_mut().filter(|known| known.doubts().next().is_some()) {
            self.changes += 1;
            known.version = self.changes;
        }
    }
}

impl Known {
    pub(super) fn service(&self) -> Option<&Service> {
        self.service.values().next().map(|row| &*row.object)
    }

    pub(super) fn slices(&self) -> impl Iterator<Item = &Slice> {
        self.slices.values().map(|row| &*row.object)
    }

    /// Differs whenever something of the Service has changed.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Whether a part of it is only kept because its absence is not believed yet.
    pub(super) fn is_doubted(&self) -> bool {
        self.doubts().next().is_some()
    }

    fn doubts(&self) -> impl Iterator<Item = Instant> + '_ {
        let services = self.service.values().filter_map(|row| row.doubted);
        services.chain(self.slices.values().filter_map(|row| row.doubted))
    }

    fn is_empty(&self) -> bool {
        self.service.is_empty() && self.slices.is_empty()
    }
}
