//! An API server that goes and comes back, with what it knew or without.

use discovery_testing::{FakeDns, Service};
use tests::{addrs, until};

use super::{
    objects::{service, slice},
    resolver,
    server::{ApiServer, Mode},
    source,
};

async fn with_orders() -> (ApiServer, FakeDns, discovery_core::Upstream) {
    let (server, dns) = (ApiServer::start().await, FakeDns::start().await.unwrap());
    dns.apply(Service::cluster_ip("shop", "orders").ip("127.0.0.7"));
    server.apply(&service("orders", "10.96.0.7", &[("http", 80)]));
    server.apply(&slice("orders-a", "orders", ("http", 8080), &["10.0.0.1", "10.0.0.2"]));
    let orders = resolver(source(&server), &dns).resolve("http://orders").await.unwrap();
    server.until("both watches", |state| state.watching == 2).await;
    (server, dns, orders)
}

/// Waits until the last known set is shown as old.
async fn stale(orders: &discovery_core::Upstream) {
    let stale = async {
        while !orders.endpoints().is_stale() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(tests::PATIENCE, stale).await.unwrap();
}

async fn fresh(orders: &discovery_core::Upstream) {
    let fresh = async {
        while orders.endpoints().is_stale() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(tests::PATIENCE, fresh).await.unwrap();
}

#[tokio::test]
async fn what_was_known_stays_while_the_api_server_is_away() {
    let (mut server, dns, orders) = with_orders().await;
    server.kill().await;
    stale(&orders).await;
    assert_eq!(addrs(&orders.endpoints()), ["10.0.0.1:8080", "10.0.0.2:8080"]);
    assert_eq!(dns.total(), 0, "DNS is not asked");
    server.apply(&slice("orders-a", "orders", ("http", 8080), &["10.0.0.3"]));
    server.accept().await;
    until(&orders, "what has happened meanwhile", |set| addrs(set) == ["10.0.0.3:8080"]).await;
    fresh(&orders).await;
    assert_eq!(server.count("list endpointslices"), 1, "it goes on where it stopped: {:#?}", server.journal());
}

#[tokio::test]
async fn refusals_of_an_api_server_that_is_just_starting_change_nothing() {
    let (mut server, dns, orders) = with_orders().await;
    server.until("an event has come", |state| state.watching == 2).await;
    server.with(super::server::State::bookmark);
    server.apply(&slice("orders-a", "orders", ("http", 8080), &["10.0.0.1"]));
    until(&orders, "the watch works", |set| set.len() == 1).await;
    for status in [403, 404, 401, 500, 503] {
        server.set(Mode::Refuse(status, ""));
        server.kill().await;
        server.accept().await;
        stale(&orders).await;
        assert_eq!(addrs(&orders.endpoints()), ["10.0.0.1:8080"], "{status}");
        server.set(Mode::Serve);
        fresh(&orders).await;
    }
    assert_eq!(dns.total(), 0);
}

/// The same where the API server goes right after the first list, before a watch has worked for long enough to be sure
/// that the Role has that verb.
#[tokio::test]
async fn refusals_of_a_starting_api_server_change_nothing_where_there_was_only_a_list() {
    let (mut server, dns) = (ApiServer::start().await, FakeDns::start().await.unwrap());
    dns.apply(Service::cluster_ip("shop", "orders").ip("127.0.0.7"));
    server.apply(&service("orders", "10.96.0.7", &[("http", 80)]));
    server.apply(&slice("orders-a", "orders", ("http", 8080), &["10.0.0.1"]));
    server.set(Mode::Refuse(500, "watch"));
    let orders = resolver(source(&server), &dns).resolve("orders:80").await.unwrap();
    server.until("a watch was tried", |state| state.journal.iter().any(|line| line.starts_with("watch"))).await;
    server.kill().await;
    server.set(Mode::Refuse(403, ""));
    server.with(|state| state.journal.clear());
    server.accept().await;
    server.until("refused, again and again", |state| state.journal.len() > 5).await;
    assert_eq!(addrs(&orders.endpoints()), ["10.0.0.1:8080"], "{}", orders.explain());
    server.set(Mode::Serve);
    fresh(&orders).await;
    assert_eq!(dns.total(), 0);
}

#[tokio::test]
async fn an_emptied_etcd_takes_nothing_away() {
    let (mut server, dns, orders) = with_orders().await;
    server.kill().await;
    server.wipe();
    server.accept().await;
    server.until("a list after the wipe", |s| s.journal.iter().filter(|l| l.starts_with("list")).count() == 4).await;
    server.until("both watches", |state| state.watching == 2).await;
    stale(&orders).await;
    assert_eq!(addrs(&orders.endpoints()), ["10.0.0.1:8080", "10.0.0.2:8080"]);
    let told = async {
        while !orders.explain().to_string().contains("went back to an older resource version") {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(tests::PATIENCE, told).await.unwrap();

    server.apply(&service("orders", "10.96.0.8", &[("http", 80)]));
    server.apply(&slice("orders-z", "orders", ("http", 8080), &["10.0.0.9"]));
    until(&orders, "what is there again", |set| addrs(set) == ["10.0.0.9:8080"]).await;
    fresh(&orders).await;
    assert_eq!(dns.total(), 0);
}

/// Not after a restart with another history: everything was deleted while nobody looked.
#[tokio::test]
async fn an_empty_list_is_asked_for_twice() {
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
async fn dns_takes_over_when_nothing_has_been_heard_for_too_long() {
    let (mut server, dns) = (ApiServer::start().await, FakeDns::start().await.unwrap());
    dns.apply(Service::cluster_ip("shop", "orders").ip("127.0.0.7"));
    server.apply(&service("orders", "10.96.0.7", &[("http", 80)]));
    server.apply(&slice("orders-a", "orders", ("http", 8080), &["10.0.0.1"]));
    let builder = source(&server).max_stale(std::time::Duration::from_millis(300));
    let orders = resolver(builder, &dns).resolve("http://orders").await.unwrap();
    server.kill().await;
    stale(&orders).await;
    assert_eq!(addrs(&orders.endpoints()), ["10.0.0.1:8080"]);
    until(&orders, "DNS answers", |set| addrs(set) == ["127.0.0.7:80"]).await;
    server.accept().await;
    until(&orders, "it is back", |set| addrs(set) == ["10.0.0.1:8080"]).await;
}
