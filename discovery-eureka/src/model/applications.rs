//! All instances of a registry.

use std::collections::BTreeMap;

use super::{Action, Instance, Page};

/// An application, as the registry holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Application {
    /// The name, in upper case.
    pub name: String,
    /// The instances of every status, ordered by id; at least one.
    pub instances: Vec<Instance>,
}

/// All instances of a registry, by application and id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Applications(BTreeMap<Box<str>, BTreeMap<Box<str>, Instance>>);

impl Applications {
    /// Returns the instances of a full fetch, in which an entry marked `DELETED` counts as absent.
    pub(crate) fn from_page(page: Page) -> Self {
        let mut all = Self::default();
        all.apply(page);
        all
    }

    /// Applies a delta in its order. Entries may repeat what was applied before: the server keeps one list of the
    /// changes of the last three minutes for all clients.
    pub(crate) fn apply(&mut self, delta: Page) {
        for (action, instance) in delta.entries {
            match action {
                Action::Put => {
                    let app = instance.app.to_uppercase().into();
                    self.0.entry(app).or_default().insert(instance.id.as_str().into(), instance);
                }
                Action::Deleted => self.remove(&instance),
            }
        }
    }

    /// Removes an instance, and its application along with the last one.
    pub(crate) fn remove(&mut self, instance: &Instance) {
        let app = instance.app.to_uppercase();
        if let Some(instances) = self.0.get_mut(app.as_str()) {
            instances.remove(instance.id.as_str());
            if instances.is_empty() {
                self.0.remove(app.as_str());
            }
        }
    }

    /// Returns the hash by which client and server compare registries: the number of instances in each status, ordered
    /// by the name of the status. Instances of every status count.
    pub(crate) fn hash(&self) -> String {
        let mut counts = BTreeMap::<&str, usize>::new();
        for instance in self.iter() {
            *counts.entry(instance.status.as_str()).or_default() += 1;
        }
        counts.into_iter().map(|(status, count)| format!("{status}_{count}_")).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// Returns all applications, ordered by name.
    pub(crate) fn into_list(self) -> Vec<Application> {
        let applications = self.0.into_iter().filter(|(_, instances)| !instances.is_empty());
        let application = |(name, instances): (Box<str>, BTreeMap<_, _>)| Application {
            name: name.into(),
            instances: instances.into_values().collect(),
        };
        applications.map(application).collect()
    }

    /// Returns whether both hold the same instances, apart from the times of heartbeats.
    pub(crate) fn is_same_but_leases(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().zip(other.iter()).all(|(one, another)| one.is_same_but_lease(another))
    }

    /// Returns how many of these instances `other` does not hold.
    pub(crate) fn missing_from(&self, other: &Self) -> usize {
        self.iter().filter(|instance| !other.contains(instance)).count()
    }

    /// Returns the instances with the VIP `name`, else those of the application `name`. Case does not matter.
    pub(crate) fn named(&self, name: &str, secure: bool) -> Vec<&Instance> {
        let is_named = |vip: &String| vip.eq_ignore_ascii_case(name);
        let has_vip = |instance: &&Instance| {
            instance.vip_addresses.iter().any(is_named) || secure && instance.secure_vip_addresses.iter().any(is_named)
        };
        let found: Vec<_> = self.iter().filter(has_vip).collect();
        if !found.is_empty() {
            return found;
        }
        self.0.get(name.to_uppercase().as_str()).into_iter().flat_map(BTreeMap::values).collect()
    }

    /// Returns these instances, and those of `before` that are not among them.
    pub(crate) fn merged_with(&self, before: &Self) -> Self {
        let mut all = before.clone();
        for (app, instances) in &self.0 {
            let into = all.0.entry(app.clone()).or_default();
            into.extend(instances.iter().map(|(id, instance)| (id.clone(), instance.clone())));
        }
        all
    }

    fn iter(&self) -> impl Iterator<Item = &Instance> {
        self.0.values().flat_map(BTreeMap::values)
    }

    fn contains(&self, instance: &Instance) -> bool {
        let app = self.0.get(instance.app.to_uppercase().as_str());
        app.is_some_and(|instances| instances.contains_key(instance.id.as_str()))
    }
}

#[cfg(test)]
mod tests;
