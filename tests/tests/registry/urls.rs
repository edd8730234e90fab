//! One URL with several registries behind it, and several URLs.

use std::{net::Ipv4Addr, time::Duration};

use discovery_eureka::{Registration, RegistrationBuilder};

use discovery_reqwest::Client;
use discovery_testing::{FakeDns, Pod, Service};
use tests::{Balancer, brisk, in_pod, within};

use crate::{client, ms, script, script::Registry, until};

fn builder(url: &str) -> RegistrationBuilder {
    Registration::builder(&client(), url, "rates")
        .ip([127, 0, 0, 1].into())
        .port(8080)
        .lease(ms(50), Duration::from_secs(90))
        .env([("POD_NAME", "rates-0")])
}

/// Two registries behind one address, between which connections alternate.
async fn two_behind_one_url() -> (Registry, Registry, Balancer) {
    let (one, two) = (Registry::start().await, Registry::start().await);
    one.accepts_all(8080).await;
    two.accepts_all(8080).await;
    let service = Balancer::start((Ipv4Addr::LOCALHOST, 0).into(), [one.addr(), two.addr()]).await.unwrap();
    (one, two, service)
}

fn url(service: &Balancer) -> String {
    format!("http://{}/eureka", service.addr())
}

#[tokio::test]
async fn keeps_one_connection_while_it_works() {
    let (one, two, service) = two_behind_one_url().await;
    let _registration = builder(&url(&service)).register().await.unwrap();
    until("ten heartbeats", || async { one.count("PUT").await >= 10 }).await;
    assert_eq!(service.connections(), 1);
    assert!(two.asked().await.is_empty());
}

#[tokio::test]
async fn retries_a_5xx_once_over_a_new_connection() {
    let (one, two, service) = two_behind_one_url().await;
    let registration = builder(&url(&service)).register().await.unwrap();
    within("settled", registration.settled()).await.unwrap();
    one.on("PUT", "apps/.+", script::status(503)).await;
    until("heartbeats to the other registry", || async { two.count("PUT").await >= 3 }).await;
    assert_eq!(service.connections(), 2, "the connection to the failing registry is closed");
    assert!(registration.state().error.is_none(), "the heartbeat arrived");
    assert_eq!(registration.state().lost, 0);
}

#[tokio::test]
async fn replaces_a_cut_connection() {
    let (_one, two, service) = two_behind_one_url().await;
    let registration = builder(&url(&service)).register().await.unwrap();
    within("settled", registration.settled()).await.unwrap();
    service.cut();
    until("heartbeats to the other registry", || async { two.count("PUT").await >= 1 }).await;
    assert!(registration.state().error.is_none());
}

/// Half of the new connections lead to a dead pod until the Service learns of its death.
#[tokio::test]
async fn a_dead_pod_behind_the_url_costs_one_attempt() {
    let one = Registry::start().await;
    one.accepts_all(8080).await;
    // No server listens on port 9.
    let service =
        Balancer::start((Ipv4Addr::LOCALHOST, 0).into(), [([127, 0, 0, 1], 9).into(), one.addr()]).await.unwrap();
    let registration = builder(&url(&service)).required().register().await.unwrap();
    within("settled", registration.settled()).await.unwrap();
    assert_eq!(service.connections(), 2);
}

/// Each heartbeat tries it.
#[tokio::test]
async fn a_single_url_is_never_quarantined() {
    let (one, two, service) = two_behind_one_url().await;
    let registration = builder(&url(&service)).register().await.unwrap();
    within("settled", registration.settled()).await.unwrap();
    for registry in [&one, &two] {
        registry.on("PUT", "apps/.+", script::status(500)).await;
    }
    until("an outage", || async { registration.state().error.is_some() }).await;
    let asked = one.count("PUT").await + two.count("PUT").await;
    until("further attempts", || async { one.count("PUT").await + two.count("PUT").await >= asked + 8 }).await;
    one.accepts_all(8080).await;
    two.accepts_all(8080).await;
    until("recovery", || async { registration.state().error.is_none() && registration.state().is_settled() }).await;
}

#[tokio::test]
async fn does_not_retry_a_refusal() {
    let registry = Registry::start().await;
    registry.on("POST", "apps/RATES", script::status(403)).await;
    let error = builder(&registry.url()).required().register().await.unwrap_err();
    assert_eq!((error.status(), registry.count("POST").await), (Some(403), 1));
}

/// Statuses that do not count as an answer, such as 307 without a location (not UP yet), 406 (no gzip) and 503
/// (overloaded).
#[tokio::test]
async fn fails_over_to_the_next_url_and_keeps_it() {
    for failure in [307, 401, 406, 500, 503] {
        let (one, two) = (Registry::start().await, Registry::start().await);
        one.on("POST", "apps/.+", script::status(failure)).await;
        two.accepts_all(8080).await;
        let registration = builder(&format!("{},{}", one.url(), two.url())).required().register().await.unwrap();
        within("settled", registration.settled()).await.unwrap();
        until("heartbeats", || async { two.count("PUT").await >= 3 }).await;
        assert_eq!(one.asked().await, ["POST apps/RATES"], "{failure}");
    }
}

#[tokio::test]
async fn leaves_a_url_that_starts_to_fail() {
    let (one, two, three) = (Registry::start().await, Registry::start().await, Registry::start().await);
    for registry in [&one, &two, &three] {
        registry.accepts_all(8080).await;
    }
    let urls = [one.url(), two.url(), three.url()].join(",");
    let registration = builder(&urls).register().await.unwrap();
    within("settled", registration.settled()).await.unwrap();
    until("heartbeats", || async { one.count("PUT").await >= 2 }).await;
    assert!(two.asked().await.is_empty(), "the first URL stays in use while it answers");
    one.on("PUT", "apps/.+", script::status(500)).await;
    until("heartbeats to the second", || async { two.count("PUT").await >= 3 }).await;
    let failed = one.count("PUT").await;
    one.accepts_all(8080).await;
    until("more of them", || async { two.count("PUT").await >= 8 }).await;
    assert_eq!(one.count("PUT").await, failed, "the second URL stays in use");
    assert!(three.asked().await.is_empty());
}

/// Each request goes to another registry; the client itself fails over from a dead one.
#[tokio::test]
async fn balances_over_a_headless_service_of_registries() {
    let (one, two) = (Registry::start().await, Registry::start().await);
    one.accepts_all(8080).await;
    two.accepts_all(8080).await;
    let first = Balancer::start(([127, 0, 0, 2], 0).into(), [one.addr()]).await.unwrap();
    let port = first.addr().port();
    let second = Balancer::start(([127, 0, 0, 3], port).into(), [two.addr()]).await.unwrap();
    let dns = FakeDns::start().await.unwrap();
    let pods = ["127.0.0.2", "127.0.0.3"].map(Pod::new);
    dns.apply(pods.into_iter().fold(Service::headless("infra", "eureka").port("http", port), Service::pod));
    let client = Client::new(in_pod(&dns, "shop").refresh(brisk()).build().unwrap());
    let registration = Registration::builder(&client, format!("http://eureka.infra:{port}/eureka"), "rates")
        .ip([127, 0, 0, 1].into())
        .port(8080)
        .lease(ms(50), Duration::from_secs(90))
        .env([("POD_NAME", "rates-0")])
        .register()
        .await
        .unwrap();
    until("heartbeats to both", || async { one.count("PUT").await >= 2 && two.count("PUT").await >= 2 }).await;
    drop(first);
    let so_far = two.count("PUT").await;
    until("heartbeats to the other registry", || async { two.count("PUT").await >= so_far + 5 }).await;
    assert!(registration.state().error.is_none());
    drop(second);
    until("an outage", || async { registration.state().error.is_some() }).await;
}
