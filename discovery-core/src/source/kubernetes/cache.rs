//! The objects of one resource in one namespace, and the state of the watch that keeps them up to date. Pure: the clock
//! is an argument.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use super::model::{Service, Slice};
use crate::{Error, name::ServiceName};

/// An object that can be cached.
pub(super) trait Object: PartialEq + Sized {
    /// The name of the object, unique in its namespace.
    fn key(&self) -> Arc<str>;

    /// The Service that the object is or belongs to.
    fn service(&self) -> &ServiceName;
}

/// All objects of one resource in one namespace, grouped by Service.
///
/// A list does not always replace the objects of the list before: see [`replace`](Self::replace).
#[derive(Debug)]
pub(super) struct ResourceCache<T> {
    services: BTreeMap<ServiceName, ServiceObjects<T>>,
    /// The Service of each object. Neither a deletion nor a slice's new label says which Service it belonged to.
    owners: BTreeMap<Arc<str>, ServiceName>,
    changes: u64,
    state: WatchState,
    /// Whether a complete list has ever arrived.
    listed: bool,
    /// Whether a watch has ever worked, however briefly.
    watch_granted: bool,
}

/// The objects of one Service.
#[derive(Debug)]
pub(super) struct ServiceObjects<T> {
    objects: BTreeMap<Arc<str>, CachedObject<T>>,
    version: u64,
}

#[derive(Debug, PartialEq, Eq)]
struct CachedObject<T> {
    object: Box<T>,
    /// When to drop the object, if it is only kept because its absence from a list is not trusted.
    retained_until: Option<Instant>,
}

/// The state of a watch.
#[derive(Clone, Debug, Default)]
pub(super) enum WatchState {
    /// The first list has not arrived yet.
    #[default]
    Pending,
    /// Every change arrives.
    Live,
    /// The watch has been failing since `since`.
    Down { error: Error, since: Instant },
    /// The service account lacks the Role.
    Forbidden(Error),
    /// The API server does not serve the resource.
    Unsupported(Error),
}

/// How the API server denied a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    /// 403 for a list.
    List,
    /// 403 for a watch.
    Watch,
    /// 404: the resource does not exist.
    Resource,
}

impl<T> Default for ResourceCache<T> {
    fn default() -> Self {
        Self {
            services: BTreeMap::new(),
            owners: BTreeMap::new(),
            changes: 0,
            state: WatchState::default(),
            listed: false,
            watch_granted: false,
        }
    }
}

impl<T> ResourceCache<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    pub(super) fn get(&self, service: &ServiceName) -> Option<&ServiceObjects<T>> {
        self.services.get(service)
    }

    pub(super) fn watch_state(&self) -> &WatchState {
        &self.state
    }

    pub(super) fn is_listed(&self) -> bool {
        self.listed
    }

    /// Notes that the watch works. Returns whether it did not work before.
    pub(super) fn confirm_watch(&mut self) -> bool {
        self.watch_granted = true;
        !matches!(std::mem::replace(&mut self.state, WatchState::Live), WatchState::Live)
    }

    /// Notes a failure. The watch counts as down since the first of several failures in a row.
    pub(super) fn fail(&mut self, error: Error, now: Instant) {
        let since = if let WatchState::Down { since, .. } = self.state { since } else { now };
        self.state = WatchState::Down { error, since };
    }

    /// Notes a denied request, and returns whether the denial is there to stay, so that frequent retries are pointless.
    ///
    /// A denial of what was granted before is an ordinary failure, because an API server that is starting denies every
    /// request for a moment. A list does not prove that watches are granted: the Role may lack that verb.
    pub(super) fn deny(&mut self, denial: Denial, error: Error, now: Instant) -> bool {
        match denial {
            Denial::List if !self.listed => self.state = WatchState::Forbidden(error),
            Denial::Watch if !self.watch_granted => self.state = WatchState::Forbidden(error),
            Denial::Resource if !self.listed => self.state = WatchState::Unsupported(error),
            Denial::List | Denial::Watch | Denial::Resource => self.fail(error, now),
        }
        matches!(self.state, WatchState::Forbidden(_) | WatchState::Unsupported(_))
    }
}

impl<T: Object> ResourceCache<T> {
    /// Adds an object, or replaces the previous version of it.
    pub(super) fn apply(&mut self, object: T) {
        let (key, service) = (object.key(), object.service().clone());
        if self.owners.get(&key).is_some_and(|previous| *previous != service) {
            self.delete(&key);
        }
        // The controller gives new slices new names, so a current object supersedes all retained ones of the Service.
        let retained =
            self.services.get(&service).map(|objects| objects.keys(|object| object.retained_until.is_some()));
        self.delete_all(retained.unwrap_or_default());
        self.owners.insert(key.clone(), service.clone());
        let objects = self.services.entry(service).or_default();
        let object = CachedObject { object: Box::new(object), retained_until: None };
        if objects.objects.get(&key) != Some(&object) {
            objects.objects.insert(key, object);
            self.changes += 1;
            objects.version = self.changes;
        }
    }

    /// Removes the object named `key`, if it is cached.
    pub(super) fn delete(&mut self, key: &str) {
        let Some(service) = self.owners.remove(key) else { return };
        let Some(objects) = self.services.get_mut(&service) else { return };
        if objects.objects.remove(key).is_some() {
            self.changes += 1;
            objects.version = self.changes;
        }
        if objects.objects.is_empty() {
            self.services.remove(&service);
        }
    }

    /// Replaces all objects by a complete list.
    ///
    /// If the list is not trusted to be complete, `retain_until` says how long to keep the objects of Services that the
    /// list does not mention at all.
    pub(super) fn replace(&mut self, list: Vec<T>, retain_until: Option<Instant>) {
        let mut listed: BTreeMap<&ServiceName, Vec<Arc<str>>> = BTreeMap::new();
        for object in &list {
            listed.entry(object.service()).or_default().push(object.key());
        }
        let mut removed = Vec::new();
        for (service, objects) in &mut self.services {
            let keys = listed.get(service);
            for (key, object) in &mut objects.objects {
                match (keys, retain_until) {
                    (Some(keys), _) if keys.contains(key) => {}
                    (None, Some(until)) => object.retained_until = object.retained_until.or(Some(until)),
                    _ => removed.push(key.clone()),
                }
            }
        }
        self.delete_all(removed);
        for object in list {
            self.apply(object);
        }
        for objects in self.services.values_mut().filter(|objects| objects.has_retained()) {
            self.changes += 1;
            objects.version = self.changes;
        }
        // A list does not lift a 403 for the watch that follows it.
        if !(self.listed && matches!(self.state, WatchState::Forbidden(_))) {
            self.state = WatchState::Live;
        }
        self.listed = true;
    }

    /// Removes the objects that were retained until now.
    pub(super) fn expire(&mut self, now: Instant) {
        let is_expired = |object: &CachedObject<T>| object.retained_until.is_some_and(|until| until <= now);
        self.delete_all(self.services.values().flat_map(|objects| objects.keys(is_expired)).collect());
    }

    fn delete_all(&mut self, keys: Vec<Arc<str>>) {
        for key in keys {
            self.delete(&key);
        }
    }
}

impl<T> ServiceObjects<T> {
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.objects.values().map(|object| &*object.object)
    }

    /// A number that differs after every change to the objects.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Returns whether some objects are only kept because their absence from a list is not trusted.
    pub(super) fn has_retained(&self) -> bool {
        self.objects.values().any(|object| object.retained_until.is_some())
    }

    fn keys(&self, is_wanted: impl Fn(&CachedObject<T>) -> bool) -> Vec<Arc<str>> {
        self.objects.iter().filter(|(_, object)| is_wanted(object)).map(|(key, _)| key.clone()).collect()
    }
}

impl<T> Default for ServiceObjects<T> {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), version: 0 }
    }
}

impl Object for Service {
    fn key(&self) -> Arc<str> {
        self.name.as_str().into()
    }

    fn service(&self) -> &ServiceName {
        &self.name
    }
}

impl Object for Slice {
    fn key(&self) -> Arc<str> {
        self.name.clone()
    }

    fn service(&self) -> &ServiceName {
        &self.service
    }
}

#[cfg(test)]
mod tests;
