//! An API server that restarts, with its objects or without them.

use std::time::Duration;

use discovery_core::Upstream;
use discovery_testing::{FakeDns, Service};
use tests::{addrs, eventually, until, until_fresh, until_stale};

use super::{
    objects::{service, slice},
    resolver,
    server::{ApiServer, Mode},
    source,
};

async fn with_orders() -> (ApiServer, FakeDns, Upstream) {
    let (server, dns) = (ApiServer::start().await, FakeDns::start().await.unwrap());
    dns.apply(Service::cluster_ip("shop", "orders").ip("127.0.0.7"));
    server.apply(&service("orders", "10.96.0.7", &[("http", 80)]));
    server.apply(&slice("orders-a", "orders", ("http", 8080), &["10.0.0.1", "10.0.0.2"]));
    let orders = resolver(source(&server), &dns).resolve("http://orders").await.unwrap();
    server.until("both watches", |state| state.watching == 2).await;
    (server, dns, orders)
}

#[tokio::test]
async fn keeps_endpoints_while_the_api_server_is_down() {
    let (mut server, dns, orders) = with_orders().await;
    server.kill().await;
    until_stale(&orders).await;
    assert_eq!(addrs(&orders.endpoints()), ["10.0.0.1:8080", "10.0.0.2:8080"]);
    assert_eq!(dns.total(), 0, "DNS is not queried");
    server.apply(&slice("orders-a", "orders", ("http", 8080), &["10.0.0.3"]));
    server.accept().await;
    until(&orders, "the change during the outage", |set| addrs(set) == ["10.0.0.3:8080"]).await;
    until_fresh(&orders).await;
    assert_eq!(server.count("list endpointslices"), 1, "the watch resumes where it stopped: {:#?}", server.journal());
}

#[tokio::test]
async fn keeps_endpoints_while_a_starting_api_server_refuses() {
    let (mut server, dns, orders) = with_orders().await;
    server.until("both watches", |state| state.watching == 2).await;
    server.with(super::server::State::bookmark);
    server.apply(&slice("orders-a", "orders", ("http", 8080), &["10.0.0.1"]));
    until(&orders, "the watch works", |set| set.len() == 1).await;
    for status in [403, 404, 401, 500, 503] {
        server.set(Mode::Refuse(status, ""));
        server.kill().await;
        server.accept().await;
        until_stale(&orders).await;
        assert_eq!(addrs(&orders.endpoints()), ["10.0.0.1:8080"], "{status}");
        server.set(Mode::Serve);
        until_fresh(&orders).await;
    }
    assert_eq!(dns.total(), 0);
}

/// The API server stops right after the first list, before a watch has worked for long enough to prove that the Role
/// has that verb.
#[tokio::test]
async fn keeps_listed_endpoints_while_a_starting_api_server_refuses() {
    let (mut server, dns) = (ApiServer::start().await, FakeDns::start().await.unwrap());
    dns.apply(Service::cluster_ip("shop", "orders").ip("127.0.0.7"));
    server.apply(&service("orders", "10.96.0.7", &[("http", 80)]));
    server.apply(&slice("orders-a", "orders", ("http", 8080), &["10.0.0.1"]));
    server.set(Mode::Refuse(500, "watch"));
    let orders = resolver(source(&server), &dns).resolve("orders:80").await.unwrap();
    server.until("an attempt to watch", |state| state.journal.iter().any(|line| line.starts_with("watch"))).await;
    server.kill().await;
    server.set(Mode::Refuse(403, ""));
    server.with(|state| state.journal.clear());
    server.accept().await;
    server.until("repeated refusals", |state| state.journal.len() > 5).await;
    assert_eq!(addrs(&orders.endpoints()), ["10.0.0.1:8080"], "{}", orders.explain());
    server.set(Mode::Serve);
    until_fresh(&orders).await;
    assert_eq!(dns.total(), 0);
}

#[tokio::test]
async fn keeps_endpoints_when_etcd_was_emptied() {
    let (mut server, dns, orders) = with_orders().await;
    server.kill().await;
    server.wipe();
    server.accept().await;
    server.until("a list after the wipe", |s| s.journal.iter().filter(|l| l.starts_with("list")).count() == 4).await;
    server.until("both watches", |state| state.watching == 2).await;
    until_stale(&orders).await;
    assert_eq!(addrs(&orders.endpoints()), ["10.0.0.1:8080", "10.0.0.2:8080"]);
    eventually(&orders, "the explanation", |orders| {
        orders.explain().to_string().contains("went back to an older resource version")
    })
    .await;

    server.apply(&service("orders", "10.96.0.8", &[("http", 80)]));
    server.apply(&slice("orders-z", "orders", ("http", 8080), &["10.0.0.9"]));
    until(&orders, "the new objects", |set| addrs(set) == ["10.0.0.9:8080"]).await;
    until_fresh(&orders).await;
    assert_eq!(dns.total(), 0);
}

/// The history is the same: everything was deleted while no watch was open.
#[tokio::test]
async fn lists_twice_before_it_accepts_an_empty_list() {
    let (mut server, _dns, orders) = with_orders().await;
    server.kill().await;
    server.delete("endpointslices", "orders-a");
    server.delete("services", "orders");
    server.with(super::server::State::compact);
    server.accept().await;
    until(&orders, "DNS answers", |set| addrs(set) == ["127.0.0.7:80"]).await;
    assert_eq!(server.count("list endpointslices"), 3, "{:#?}", server.journal());
}

#[tokio::test]
async fn dns_takes_over_after_max_stale() {
    let (mut server, dns) = (ApiServer::start().await, FakeDns::start().await.unwrap());
    dns.apply(Service::cluster_ip("shop", "orders").ip("127.0.0.7"));
    server.apply(&service("orders", "10.96.0.7", &[("http", 80)]));
    server.apply(&slice("orders-a", "orders", ("http", 8080), &["10.0.0.1"]));
    let builder = source(&server).max_stale(Duration::from_millis(300));
    let orders = resolver(builder, &dns).resolve("http://orders").await.unwrap();
    server.kill().await;
    until_stale(&orders).await;
    assert_eq!(addrs(&orders.endpoints()), ["10.0.0.1:8080"]);
    until(&orders, "DNS answers", |set| addrs(set) == ["127.0.0.7:80"]).await;
    server.accept().await;
    until(&orders, "the API server again", |set| addrs(set) == ["10.0.0.1:8080"]).await;
}
