//! What Services and slices have in common.

use std::{collections::BTreeMap, sync::Arc};

use super::{Known, Row, Store};
use crate::{
    name::ServiceName,
    source::kubernetes::model::{Service, Slice},
};

/// A kind of object that the store holds.
pub(in super::super) trait Object: PartialEq + Sized {
    /// Its name, unique in the namespace.
    fn key(&self) -> Arc<str>;
    /// The Service that it is or belongs to.
    fn owner(&self) -> &ServiceName;
    fn rows(known: &Known) -> &BTreeMap<Arc<str>, Row<Self>>;
    fn rows_mut(known: &mut Known) -> &mut BTreeMap<Arc<str>, Row<Self>>;
    fn owner_by_name(store: &Store, key: &str) -> Option<ServiceName>;
    fn note_owner(store: &mut Store, key: &str, owner: Option<ServiceName>);
}

impl Object for Service {
    fn key(&self) -> Arc<str> {
        self.name.as_str().into()
    }

    fn owner(&self) -> &ServiceName {
        &self.name
    }

    fn rows(known: &Known) -> &BTreeMap<Arc<str>, Row<Self>> {
        &known.service
    }

    fn rows_mut(known: &mut Known) -> &mut BTreeMap<Arc<str>, Row<Self>> {
        &mut known.service
    }

    fn owner_by_name(_: &Store, key: &str) -> Option<ServiceName> {
        ServiceName::new(key).ok()
    }

    fn note_owner(_: &mut Store, _: &str, _: Option<ServiceName>) {}
}

impl Object for Slice {
    fn key(&self) -> Arc<str> {
        self.name.clone()
    }

    fn owner(&self) -> &ServiceName {
        &self.service
    }

    fn rows(known: &Known) -> &BTreeMap<Arc<str>, Row<Self>> {
        &known.slices
    }

    fn rows_mut(known: &mut Known) -> &mut BTreeMap<Arc<str>, Row<Self>> {
        &mut known.slices
    }

    fn owner_by_name(store: &Store, key: &str) -> Option<ServiceName> {
        store.owners.get(key).cloned()
    }

    fn note_owner(store: &mut Store, key: &str, owner: Option<ServiceName>) {
        match owner {
            Some(owner) => store.owners.insert(key.into(), owner),
            None => store.owners.remove(key),
        };
    }
}
