//! All instances that are known.

use std::collections::BTreeMap;

use super::{Action, Instance, Page, Status};

/// All instances that are known, by application and id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Applications(BTreeMap<Box<str>, BTreeMap<Box<str>, Instance>>);

impl Applications {
    /// What a full answer says; `DELETED` makes no sense in one and counts as absent.
    pub(crate) fn of(page: Page) -> Self {
        let mut all = Self::default();
        all.apply(page);
        all
    }

    /// Applies a delta in its order. An entry may repeat what is known already: the server keeps one list of the last
    /// three minutes for all clients.
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

    /// Takes an instance out, and its application with the last one.
    pub(crate) fn remove(&mut self, instance: &Instance) {
        let app = instance.app.to_uppercase();
        if let Some(instances) = self.0.get_mut(app.as_str()) {
            instances.remove(instance.id.as_str());
            if instances.is_empty() {
                self.0.remove(app.as_str());
            }
        }
    }

    /// The hash by which client and server compare: how many instances have which status, by name; all of them count,
    /// whatever their status.
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

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Instance> {
        self.0.values().flat_map(BTreeMap::values)
    }

    pub(crate) fn contains(&self, instance: &Instance) -> bool {
        let app = self.0.get(instance.app.to_uppercase().as_str());
        app.is_some_and(|instances| instances.contains_key(instance.id.as_str()))
    }

    /// The instances that have `name` for a VIP; where there are none, those of the application of that name. Upper and
    /// lower case are the same.
    pub(crate) fn named(&self, name: &str, secure: bool) -> Vec<&Instance> {
        let is = |vip: &String| vip.eq_ignore_ascii_case(name);
        let by_vip = |instance: &&Instance| {
            instance.vip_addresses.iter().any(is) || secure && instance.secure_vip_addresses.iter().any(is)
        };
        let found: Vec<_> = self.iter().filter(by_vip).collect();
        if !found.is_empty() {
            return found;
        }
        self.0.get(name.to_uppercase().as_str()).into_iter().flat_map(BTreeMap::values).collect()
    }

    /// This, and what `before` has beside it.
    pub(crate) fn over(&self, before: &Self) -> Self {
        let mut all = before.clone();
        for (app, instances) in &self.0 {
            let into = all.0.entry(app.clone()).or_default();
            into.extend(instances.iter().map(|(id, instance)| (id.clone(), instance.clone())));
        }
        all
    }

    /// Those that take traffic.
    pub(crate) fn up<'a>(instances: &[&'a Instance]) -> Vec<&'a Instance> {
        instances.iter().copied().filter(|instance| instance.status == Status::Up).collect()
    }
}

#[cfg(test)]
mod tests;
