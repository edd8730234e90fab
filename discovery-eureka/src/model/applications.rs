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

/// What a name leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named<'a> {
    /// The instances of the owner; without an owner, those of all applications with the VIP if they may share it.
    pub(crate) instances: Vec<&'a Instance>,
    /// The application of that name, or the only one with the VIP.
    pub(crate) owner: Option<&'a str>,
    /// All applications that claim the name, in order.
    pub(crate) applications: Vec<&'a str>,
}

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

    /// Returns what `name` leads to: the application of that name, else the VIP of one application. Case does not
    /// matter. With `secure`, the VIPs of TLS ports count as well. With `shared`, a VIP may belong to several
    /// applications, of which none has that name.
    ///
    /// Of the instances of an application of that name, those with the VIP count, or all if none has it.
    pub(crate) fn named(&self, name: &str, secure: bool, shared: bool) -> Named<'_> {
        let is_named = |vip: &String| vip.eq_ignore_ascii_case(name);
        let has_vip = |instance: &&Instance| {
            instance.vip_addresses.iter().any(is_named) || secure && instance.secure_vip_addresses.iter().any(is_named)
        };
        let own = name.to_uppercase();
        let mut claims = BTreeMap::<&str, Vec<&Instance>>::new();
        for (app, instances) in &self.0 {
            let with_vip: Vec<_> = instances.values().filter(has_vip).collect();
            if **app == *own && with_vip.is_empty() {
                claims.insert(app, instances.values().collect());
            } else if !with_vip.is_empty() {
                claims.insert(app, with_vip);
            }
        }
        let applications: Vec<_> = claims.keys().copied().collect();
        let owner = if applications.len() == 1 { applications.first().copied() } else { None };
        let owner = owner.or_else(|| applications.iter().copied().find(|app| *app == own));
        let instances = match owner {
            Some(owner) => claims.remove(owner).unwrap_or_default(),
            None if shared => claims.into_values().flatten().collect(),
            None => Vec::new(),
        };
        Named { instances, owner, applications }
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

    pub(crate) fn contains(&self, instance: &Instance) -> bool {
        let app = self.0.get(instance.app.to_uppercase().as_str());
        app.is_some_and(|instances| instances.contains_key(instance.id.as_str()))
    }
}

#[cfg(test)]
mod tests;
