//! The rules of `DiscoveryClient.updateDelta` and `Applications.getReconcileHashCode` of Netflix/eureka.

use proptest::prelude::*;

use super::*;

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
fn the_hash_counts_every_status_in_the_order_of_its_name() {
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
fn a_delta_puts_and_removes() {
    let mut all = Applications::of(page([put("A", "1", Status::Up), put("B", "1", Status::Up)]));
    all.apply(page([
        put("A", "1", Status::Down),
        put("C", "1", Status::Up),
        (Action::Deleted, instance("B", "1", Status::Up)),
    ]));
    assert_eq!(all, Applications::of(page([put("A", "1", Status::Down), put("C", "1", Status::Up)])));
    assert!(all.named("B", false).is_empty(), "the last instance takes its application with it");
}

/// Netflix #1528: the Java client takes over the delta's whole application, deleted instances included.
#[test]
fn what_is_deleted_and_added_in_an_unknown_application_is_applied_one_by_one() {
    let mut all = Applications::default();
    all.apply(page([
        (Action::Deleted, instance("NEW", "old", Status::Up)),
        put("NEW", "young", Status::Up),
        (Action::Deleted, instance("GONE", "1", Status::Up)),
    ]));
    assert_eq!(all, Applications::of(page([put("NEW", "young", Status::Up)])));
}

#[test]
fn entries_may_repeat_and_their_order_counts() {
    let delta = || page([put("A", "1", Status::Up), (Action::Deleted, instance("A", "1", Status::Up))]);
    let mut all = Applications::default();
    all.apply(delta());
    all.apply(delta());
    assert!(all.is_empty());
}

#[test]
fn a_vip_is_found_in_any_case_and_before_an_application() {
    let vip = |id: &str, vips: &[&str], secure: &[&str]| {
        let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let known = instance("RATES", id, Status::Up);
        (Action::Put, Instance { vip_addresses: texts(vips), secure_vip_addresses: texts(secure), ..known })
    };
    let all = Applications::of(page([
        vip("1", &["rates-v1", "rates.old"], &[]),
        vip("2", &["rates-v2"], &["rates-tls"]),
        put("OTHER", "3", Status::Up),
    ]));
    let ids = |name, secure| all.named(name, secure).iter().map(|i| i.id.as_str()).collect::<Vec<_>>();
    assert_eq!(ids("RATES-V1", false), ["1"]);
    assert_eq!(ids("rates.old", false), ["1"]);
    assert_eq!(ids("rates", false), ["1", "2"], "no VIP of that name: the application");
    assert_eq!(ids("rates-tls", true), ["2"]);
    assert!(ids("rates-tls", false).is_empty());
    assert_eq!(ids("Other", true), ["3"]);
}

fn any_status() -> impl Strategy<Value = Status> {
    prop_oneof![Just(Status::Up), Just(Status::Down), Just(Status::Starting), Just(Status::OutOfService)]
}

/// One change of a registry: who, and what becomes of it.
fn any_change() -> impl Strategy<Value = (u8, u8, Option<Status>)> {
    (0_u8..3, 0_u8..4, proptest::option::weighted(0.7, any_status()))
}

proptest! {
    /// A client that has seen some of the changes, and then gets a delta with the last word on all that changed since
    /// (and on others, which it knows already), has what the server has, and the same hash.
    #[test]
    fn a_delta_leads_to_the_servers_state(
        changes in proptest::collection::vec(any_change(), 0..60),
        fetched_at in 0_usize..60,
        overlap in 0_usize..20,
    ) {
        let mut server = BTreeMap::<(u8, u8), Status>::new();
        let full = |server: &BTreeMap<(u8, u8), Status>| {
            let entry = |((app, id), status): (&(u8, u8), &Status)| put(&format!("APP{app}"), &id.to_string(), *status);
            Applications::of(page(server.iter().map(entry)))
        };
        let fetched_at = fetched_at.min(changes.len());
        let mut client = Applications::default();
        // The server's list holds one entry for each instance, the last.
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

    /// What the hash is for: a client that has missed a change of the counts notices.
    #[test]
    fn a_missed_change_of_the_counts_is_noticed(
        known in proptest::collection::btree_map((0_u8..3, 0_u8..4), any_status(), 1..12),
        lost in any::<proptest::sample::Index>(),
    ) {
        let entry = |((app, id), status): (&(u8, u8), &Status)| put(&format!("APP{app}"), &id.to_string(), *status);
        let server = Applications::of(page(known.iter().map(entry)));
        let lost = lost.index(known.len());
        let client = Applications::of(page(known.iter().enumerate().filter(|(at, _)| *at != lost).map(|(_, k)| entry(k))));
        prop_assert_ne!(client.hash(), server.hash());
    }
}
