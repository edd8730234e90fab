//! Which names the registry may answer.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

type Condition = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// The names that the registry may answer. Anyone who may register chooses the names in a registry, and the registry is
/// asked before EndpointSlices and DNS: by default it answers names of one label only, and no names of Services in
/// other namespaces and of hosts. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct AcceptedNames {
    /// The only VIP that is fetched.
    pub(super) vip: Option<String>,
    /// The application's choice, in place of names of one label.
    pub(super) condition: Option<Condition>,
}

impl AcceptedNames {
    /// Returns whether the registry may answer the name. A condition that panics is not met.
    pub(super) fn accept(&self, name: &str) -> bool {
        let is_vip = self.vip.as_deref().is_none_or(|vip| vip.eq_ignore_ascii_case(name));
        is_vip
            && match &self.condition {
                Some(condition) => {
                    let name = name.to_lowercase();
                    catch_unwind(AssertUnwindSafe(|| condition(&name))).unwrap_or_else(|_| {
                        tracing::warn!(name, "the condition on names panicked, not asking the registry");
                        false
                    })
                }
                None => self.vip.is_some() || !name.contains('.'),
            }
    }

    /// Returns whether the application named what the registry may answer, so that a VIP may belong to several
    /// applications.
    pub(super) fn are_chosen(&self) -> bool {
        self.vip.is_some() || self.condition.is_some()
    }
}

impl fmt::Debug for AcceptedNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("AcceptedNames");
        shown.field("vip", &self.vip).field("has_condition", &self.condition.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(condition: impl Fn(&str) -> bool + Send + Sync + 'static) -> AcceptedNames {
        AcceptedNames { vip: None, condition: Some(Arc::new(condition)) }
    }

    #[test]
    fn names_of_services_and_hosts_are_accepted_only_if_the_application_chose_them() {
        let names = [
            "orders.shop",
            "orders.shop.svc",
            "kubernetes.default.svc",
            "api.example.com",
            "orders.shop.svc.cluster.local",
        ];
        for name in names {
            assert!(!AcceptedNames::default().accept(name), "{name}");
            assert!(chosen(move |accepted| accepted == name).accept(&name.to_uppercase()), "{name}");
            let vip = AcceptedNames { vip: Some(name.to_owned()), condition: None };
            assert!(vip.accept(name) && !vip.accept("orders"), "{name}");
        }
        assert!(AcceptedNames::default().accept("ORDER_SERVICE"));
        assert!(!chosen(|name| name.contains('.')).accept("orders"), "the condition replaces the default");
        assert!(!chosen(|_| panic!("bad condition")).accept("orders"));
    }
}
