//! How lists and watches follow each other, and how few there are.

use std::time::Duration;

use discovery_testing::FakeDns;
use tests::{addrs, until};

use super::{
    objects::{service, slice},
    resolver,
    server::{ApiServer, Mode},
    source,
};

const SECOND: Duration = Duration::from_secs(1);

async fn with_orders() -> (ApiServer, FakeDns) {
    let (server, dns) = (ApiServer::start().await, FakeDns::start().await.unwrap());
    server.apply(&service("orders", "10.96.0.7", &[("http", 80)]));
    server.apply(&slice("orders-a", "orders", ("http", 8080), &["10.0.0.1"]));
    (server, dns)
}

#[tokio::test]
async fn any_number_of_names_share_two_watches_per_namespace() {
    let (server, dns) = (ApiServer::start().await, FakeDns::start().await.unwrap());
    for n in 0..30 {
        server.apply(&service(&format!("s{n}"), "10.96.0.7", &[("http", 80)]));
        server.apply(&slice(&format!("s{n}-a"), &format!("s{n}"), ("http", 8080), &[&format!("10.0.0.{n}")]));
    }
    let resolver = resolver(source(&server), &dns);
    let mut held = Vec::new();
    for n in 0..30 {
        held.push(resolver.resolve(format!("http://s{n}").as_str()).await.unwrap());
    }
    server.until("both watches", |state| state.watching == 2).await;
    for what in ["list endpointslices", "list services", "watch endpointslices", "watch services"] {
        assert_eq!(server.count(what), 1, "{what}: {:#?}", server.journal());
    }
    held.push(resolver.resolve("s1.billing.svc:80").await.unwrap());
    server.until("two more", |state| state.watching == 4).await;
    assert_eq!(server.count("list endpointslices"), 2);
    held.clear();
    server.until("nobody asks any more", |state| state.watching == 0).await;
}

#[tokio::test]
async fn a_long_list_comes_in_pages() {
    let (server, dns) = (ApiServer::start().await, FakeDns::start().await.unwrap());
    server.apply(&service("orders", "10.96.0.7", &[("http", 80)]));
    for n in 0..7 {
        server.apply(&slice(&format!("orders-{n}"), "orders", ("http", 8080), &[&format!("10.0.0.{n}")]));
    }
    server.with(|state| state.page = 3);
    let orders = resolver(source(&server), &dns).resolve("http://orders").await.unwrap();
    assert_eq!(orders.endpoints().len(), 7);
    assert_eq!(server.count("list endpointslices"), 3);
}

#[tokio::test]
async fn a_watch_that_ends_by_its_time_goes_on_from_the_last_bookmark() {
    let (server, dns) = with_orders().await;
    let orders = resolver(source(&server).watch_timeout(SECOND), &dns).resolve("http://orders").await.unwrap();
    server.until("both watches", |state| state.watching == 2).await;
    let version = server.with(|state| {
        state.bookmark();
        state.version
    });
    server.until("again", |state| state.journal.contains(&format!("watch endpointslices from {version}"))).await;
    server.until("again", |state| state.journal.contains(&format!("watch services from {version}"))).await;
    assert_eq!((server.count("list endpointslices"), server.count("probe")), (1, 0), "{:#?}", server.journal());
    assert!(!orders.endpoints().is_stale());
}

#[tokio::test]
async fn a_version_that_is_too_old_leads_to_a_new_list() {
    let (server, dns) = with_orders().await;
    let orders = resolver(source(&server).watch_timeout(SECOND), &dns).resolve("http://orders").await.unwrap();
    server.until("both watches", |state| state.watching == 2).await;
    // What happens to a watch that is not heard, and is forgotten by the server before it is asked for.
    server.set(Mode::Stall);
    server.apply(&slice("orders-a", "orders", ("http", 8080), &["10.0.0.2"]));
    server.with(|state| {
        state.compact();
        state.mode = Mode::Serve;
    });
    until(&orders, "the new list", |set| addrs(set) == ["10.0.0.2:8080"]).await;
    assert_eq!(server.count("list endpointslices"), 2, "{:#?}", server.journal());
}

#[tokio::test]
async fn a_watch_on_which_nothing_comes_is_noticed() {
    let (server, dns) = with_orders().await;
    let orders = resolver(source(&server).watch_timeout(SECOND), &dns).resolve("http://orders").await.unwrap();
    server.until("both watches", |state| state.watching == 2).await;
    server.set(Mode::Stall);
    server.apply(&slice("orders-a", "orders", ("http", 8080), &["10.0.0.2"]));
    let given_up = |resource: &'static str| {
        server.until("it is given up", move |s| s.journal.contains(&format!("probe {resource}")))
    };
    given_up("endpointslices").await;
    given_up("services").await;
    server.set(Mode::Serve);
    until(&orders, "what was missed", |set| addrs(set) == ["10.0.0.2:8080"]).await;
    assert_eq!(server.count("list endpointslices"), 1, "{:#?}", server.journal());
}

#[tokio::test]
async fn a_connection_that_is_cut_within_an_event_loses_nothing() {
    let (server, dns) = with_orders().await;
    let orders = resolver(source(&server), &dns).resolve("http://orders").await.unwrap();
    server.until("both watches", |state| state.watching == 2).await;
    server.with(|state| {
        state.cut = true;
        state.apply(&slice("orders-a", "orders", ("http", 8080), &["10.0.0.2"]));
    });
    until(&orders, "the whole event", |set| addrs(set) == ["10.0.0.2:8080"]).await;
    assert_eq!(server.count("list endpointslices"), 1, "{:#?}", server.journal());
    assert_eq!(server.count("watch endpointslices"), 2, "{:#?}", server.journal());
}
