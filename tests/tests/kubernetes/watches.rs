//! The order of lists and watches, and how few of them there are.

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
    server.until("no watch without a name", |state| state.watching == 0).await;
}

#[tokio::test]
async fn reads_a_long_list_in_pages() {
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
async fn a_watch_that_times_out_resumes_from_the_last_bookmark() {
    let (server, dns) = with_orders().await;
    let orders = resolver(source(&server).watch_timeout(SECOND), &dns).resolve("http://orders").await.unwrap();
    server.until("both watches", |state| state.watching == 2).await;
    let version = server.with(|state| {
        state.bookmark();
        state.version
    });
    server
        .until("a resumed watch", |state| state.journal.contains(&format!("watch endpointslices from {version}")))
        .await;
    server.until("a resumed watch", |state| state.journal.contains(&format!("watch services from {version}"))).await;
    assert_eq!((server.count("list endpointslices"), server.count("probe")), (1, 0), "{:#?}", server.journal());
    assert!(!orders.endpoints().is_stale());
}

#[tokio::test]
async fn an_expired_version_leads_to_a_new_list() {
    let (server, dns) = with_orders().await;
    let orders = resolver(source(&server).watch_timeout(SECOND), &dns).resolve("http://orders").await.unwrap();
    server.until("both watches", |state| state.watching == 2).await;
    // The watch misses an event, and the server forgets it before the watch resumes.
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
async fn replaces_a_watch_that_stalls() {
    let (server, dns) = with_orders().await;
    let orders = resolver(source(&server).watch_timeout(SECOND), &dns).resolve("http://orders").await.unwrap();
    server.until("both watches", |state| state.watching == 2).await;
    server.set(Mode::Stall);
    server.apply(&slice("orders-a", "orders", ("http", 8080), &["10.0.0.2"]));
    let probed =
        |resource: &'static str| server.until("a probe", move |s| s.journal.contains(&format!("probe {resource}")));
    probed("endpointslices").await;
    probed("services").await;
    server.set(Mode::Serve);
    until(&orders, "the missed event", |set| addrs(set) == ["10.0.0.2:8080"]).await;
    assert_eq!(server.count("list endpointslices"), 1, "{:#?}", server.journal());
}

#[tokio::test]
async fn a_connection_cut_within_an_event_loses_nothing() {
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
