//! The rules of `DiscoveryClient.updateDelta` and `Applications.getReconcileHashCode` of Netflix/eureka.

use proptest::prelude::*;

use super::*;
use crate::Status;

fn instance(app: &str, id: &str, status: Status) -> Instance {
    Instance { app: app.to_owned(), id: id.to_owned(), status, ..Instance::default() }
}

fn page(entries: impl IntoIterator<Item = (Action, Instance)>) -> Page {
    Page { hash: None, entries: entries.into_iter().collect() }
}

fn put(app: &str, id: &str, status: Status) -> (Action, Instance) {
    (Action::Put, instance(app, id, status))
}

/// `ApplicationsTest.testReconcileHashcode`: empty, then `UP_1_`.
#[test]
fn hash_counts_instances_by_status_name() {
    let mut all = Applications::default();
    assert_eq!(all.hash(), "");
    all.apply(page([put("TEST", "h", Status::Up)]));
    assert_eq!(all.hash(), "UP_1_");
    all.apply(page([
        put("TEST", "i", Status::Starting),
        put("OTHER", "h", Status::Up),
        put("OTHER", "j", Status::Unknown),
        put("OTHER", "k", Status::Down),
        put("OTHER", "l", Status::OutOfService),
    ]));
    assert_eq!(all.hash(), "DOWN_1_OUT_OF_SERVICE_1_STARTING_1_UNKNOWN_1_UP_2_");
}

#[test]
fn delta_puts_and_removes_instances() {
    let mut all = Applications::from_page(page([put("A", "1", Status::Up), put("B", "1", Status::Up)]));
    all.apply(page([
        put("A", "1", Status::Down),
        put("C", "1", Status::Up),
        (Action::Deleted, instance("B", "1", Status::Up)),
    ]));
    assert_eq!(all, Applications::from_page(page([put("A", "1", Status::Down), put("C", "1", Status::Up)])));
    assert!(all.named("B", false, false).instances.is_empty(), "removing the last instance removes its application");
}

/// Netflix #1528: the Java client adopts the whole application of the delta, deleted instances included.
#[test]
fn applies_each_entry_of_an_unknown_application() {
    let mut all = Applications::default();
    all.apply(page([
        (Action::Deleted, instance("NEW", "old", Status::Up)),
        put("NEW", "young", Status::Up),
        (Action::Deleted, instance("GONE", "1", Status::Up)),
    ]));
    assert_eq!(all, Applications::from_page(page([put("NEW", "young", Status::Up)])));
}

#[test]
fn applies_repeated_entries_in_order() {
    let delta = || page([put("A", "1", Status::Up), (Action::Deleted, instance("A", "1", Status::Up))]);
    let mut all = Applications::default();
    all.apply(delta());
    all.apply(delta());
    assert!(all.is_empty());
}

#[test]
fn finds_a_vip_and_an_application_in_any_case() {
    let vip = |id: &str, vips: &[&str], secure: &[&str]| {
        let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let known = instance("RATES", id, Status::Up);
        (Action::Put, Instance { vip_addresses: texts(vips), secure_vip_addresses: texts(secure), ..known })
    };
    let all = Applications::from_page(page([
        vip("1", &["rates-v1", "rates.old"], &[]),
        vip("2", &["rates-v2"], &["rates-tls"]),
        put("OTHER", "3", Status::Up),
    ]));
    let ids = |name, secure| all.named(name, secure, false).instances.iter().map(|i| i.id.as_str()).collect::<Vec<_>>();
    assert_eq!(ids("RATES-V1", false), ["1"]);
    assert_eq!(ids("rates.old", false), ["1"]);
    assert_eq!(ids("rates", false), ["1", "2"], "all instances of the application if none has the VIP");
    assert_eq!(ids("rates-tls", true), ["2"]);
    assert!(ids("rates-tls", false).is_empty());
    assert_eq!(ids("Other", true), ["3"]);
}

/// An instance of this application, with its VIP as id.
fn claim(app: &str, vip: &str) -> (Action, Instance) {
    (Action::Put, Instance { vip_addresses: vec![vip.to_owned()], ..instance(app, vip, Status::Up) })
}

/// Who may register may claim any VIP.
#[test]
fn an_application_owns_its_name() {
    let found = |claims: Vec<(Action, Instance)>, shared| {
        let all = Applications::from_page(page(claims));
        let named = all.named("orders", false, shared);
        let texts = |apps: &[&str]| apps.iter().map(|app| (*app).to_owned()).collect::<Vec<_>>();
        let from: Vec<_> = named.instances.iter().map(|instance| &*instance.app).collect();
        (texts(&from), texts(&named.applications))
    };
    let texts = |apps: &[&str]| apps.iter().map(|app| (*app).to_owned()).collect::<Vec<_>>();
    let owned = || vec![claim("ORDERS", "orders"), claim("EVIL", "orders"), claim("EVIL", "other")];
    for shared in [false, true] {
        assert_eq!(found(owned(), shared), (texts(&["ORDERS"]), texts(&["EVIL", "ORDERS"])));
        // Without a VIP of its own, the application keeps its name as well.
        let silent = vec![claim("ORDERS", "orders-v1"), claim("EVIL", "Orders")];
        assert_eq!(found(silent, shared), (texts(&["ORDERS"]), texts(&["EVIL", "ORDERS"])));
        assert_eq!(found(vec![claim("SHOP", "orders")], shared), (texts(&["SHOP"]), texts(&["SHOP"])));
    }
    let ambiguous = || vec![claim("SHOP", "orders"), claim("EVIL", "orders")];
    assert_eq!(found(ambiguous(), false), (vec![], texts(&["EVIL", "SHOP"])));
    assert_eq!(found(ambiguous(), true), (texts(&["EVIL", "SHOP"]), texts(&["EVIL", "SHOP"])));
}

fn any_status() -> impl Strategy<Value = Status> {
    prop_oneof![Just(Status::Up), Just(Status::Down), Just(Status::Starting), Just(Status::OutOfService)]
}

/// One change of a registry: the instance, and its new status or its removal.
fn any_change() -> impl Strategy<Value = (u8, u8, Option<Status>)> {
    (0_u8..3, 0_u8..4, proptest::option::weighted(0.7, any_status()))
}

proptest! {
    /// A client that saw some of the changes, and then gets a delta with the latest state of all later changes (and of
    /// some that it already applied), ends up with the server's instances and hash.
    #[test]
    fn delta_leads_to_the_servers_state(
        changes in proptest::collection::vec(any_change(), 0..60),
        fetched_at in 0_usize..60,
        overlap in 0_usize..20,
    ) {
        let mut server = BTreeMap::<(u8, u8), Status>::new();
        let full = |server: &BTreeMap<(u8, u8), Status>| {
            let entry = |((app, id), status): (&(u8, u8), &Status)| put(&format!("APP{app}"), &id.to_string(), *status);
            Applications::from_page(page(server.iter().map(entry)))
        };
        let fetched_at = fetched_at.min(changes.len());
        let mut client = Applications::default();
        // The server's list holds one entry per instance: the latest.
        let mut recent = BTreeMap::<(u8, u8), (Action, Instance)>::new();
        for (at, (app, id, becomes)) in changes.iter().enumerate() {
            if at == fetched_at {
                client = full(&server);
            }
            let key = (*app, *id);
            let (action, status) = match becomes {
                Some(status) => {
                    server.insert(key, *status);
                    (Action::Put, *status)
                }
                None => (Action::Deleted, server.remove(&key).unwrap_or(Status::Up)),
            };
            if at + overlap >= fetched_at {
                recent.insert(key, (action, instance(&format!("APP{app}"), &id.to_string(), status)));
            }
        }
        if fetched_at == changes.len() {
            client = full(&server);
        }
        client.apply(page(recent.into_values()));
        prop_assert_eq!(&client, &full(&server));
        prop_assert_eq!(client.hash(), full(&server).hash());
    }

    /// The purpose of the hash: a client notices that it missed a change of the counts.
    #[test]
    fn hash_reveals_a_missed_change_of_the_counts(
        known in proptest::collection::btree_map((0_u8..3, 0_u8..4), any_status(), 1..12),
        lost in any::<proptest::sample::Index>(),
    ) {
        let entry = |((app, id), status): (&(u8, u8), &Status)| put(&format!("APP{app}"), &id.to_string(), *status);
        let server = Applications::from_page(page(known.iter().map(entry)));
        let lost = lost.index(known.len());
        let kept = known.iter().enumerate().filter(|(at, _)| *at != lost).map(|(_, known)| entry(known));
        let client = Applications::from_page(page(kept));
        prop_assert_ne!(client.hash(), server.hash());
    }
}
