//! F9: addresses that no longer belong to a pod, or may not.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use discovery_core::{
    Upstream,
    policy::{Outcome, Pick, Tried},
    refresh::RefreshSettings,
};
use discovery_testing::{FakeDns, Glue, Pod, QType, Rule, Service};
use tests::{ORDERS, addrs, brisk, figure, in_pod, ips, orders, question, until, until_stale, within};

use crate::support::dns::{PODS, QUICK, asked_again, dns, pod_with, resolved};

/// F9.
#[tokio::test]
async fn stops_serving_stale_endpoints_at_max_stale() {
    let dns = dns().await;
    dns.apply(orders(&PODS));
    let settings = brisk().with_max_stale(Duration::from_millis(600));
    let resolver = pod_with(&dns, &QUICK).refresh(settings).build().unwrap();
    let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
    let mut watch = upstream.watch();
    watch.next().await;
    let last_good = Instant::now();
    dns.script(Rule::any().servfail());
    until_stale(&upstream).await;
    assert_eq!(upstream.endpoints().len(), 3);
    let set = within("the end of stale serving", watch.next()).await;
    let took = last_good.elapsed();
    assert!(set.is_empty());
    figure("F9: dropped with max_stale 600 ms", took);
    assert!(took >= Duration::from_millis(600), "{took:?}");
    let error = upstream.pick().unwrap_err();
    assert!(error.is_transient() && !error.is_not_found() && !error.is_no_endpoints(), "{error}");
    dns.clear_script();
    assert_eq!(within("recovery", watch.next()).await.len(), 3);
}

/// F9. A request meets a connect error while DNS fails.
#[tokio::test]
async fn ejects_a_stale_endpoint_that_cannot_be_reached() {
    let dns = dns().await;
    let upstream = resolved(&dns).await;
    dns.script(Rule::any().servfail());
    until_stale(&upstream).await;
    report_unreachable(&upstream, "10.0.0.2");
    until(&upstream, "the ejection", |set| ips(set) == ["10.0.0.1", "10.0.0.3"]).await;
    assert!(upstream.endpoints().is_stale());
    asked_again(&dns, 2).await;
    assert_eq!(ips(&upstream.endpoints()), ["10.0.0.1", "10.0.0.3"], "further failures do not bring it back");
    // The next answer decides.
    dns.clear_script();
    until(&upstream, "recovery", |set| ips(set) == PODS).await;
}

/// F9. An endpoint of a fresh answer stays: the answer outweighs one request.
#[tokio::test]
async fn a_connect_error_leads_to_at_most_one_query_per_second() {
    let dns = FakeDns::builder().ttl(3600).start().await.unwrap();
    dns.apply(orders(&PODS));
    let resolver = pod_with(&dns, &[]).refresh(RefreshSettings::default()).build().unwrap();
    let begun = Instant::now();
    let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
    dns.remove_pod("shop", "orders", "10.0.0.2");
    dns.add_pod("shop", "orders", Pod::new("10.0.0.4"));
    let failing = async {
        loop {
            for pod in ["10.0.0.1", "10.0.0.3"] {
                report_unreachable(&upstream, pod);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let asked = within("two more queries", dns.asked(question(ORDERS, QType::A), 3));
    tokio::select! {
        () = failing => {}
        () = asked => {}
    }
    let took = begun.elapsed();
    figure("F9: two re-resolves at TTL 3600 after", took);
    assert!(took >= Duration::from_secs(2), "{took:?}");
    until(&upstream, "the new pod", |set| ips(set) == ["10.0.0.1", "10.0.0.3", "10.0.0.4"]).await;
}

/// F9. The resolver holds the removal of an endpoint until it is confirmed; a connect error confirms it.
#[tokio::test]
async fn ejects_an_unreachable_endpoint_whose_removal_is_held() {
    let dns = dns().await;
    dns.apply(orders(&PODS));
    let settings = brisk().with_removal_hold(Duration::from_secs(3600));
    let resolver = pod_with(&dns, &[]).refresh(settings).build().unwrap();
    let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
    dns.remove_pod("shop", "orders", "10.0.0.2");
    dns.set_ttl(1);
    asked_again(&dns, 2).await;
    assert_eq!(upstream.endpoints().len(), 3, "held");
    report_unreachable(&upstream, "10.0.0.2");
    until(&upstream, "the ejection", |set| ips(set) == ["10.0.0.1", "10.0.0.3"]).await;
}

/// F9. An address that left the published set gets no new request.
#[tokio::test]
async fn does_not_pick_a_removed_address() {
    let dns = dns().await;
    let upstream = resolved(&dns).await;
    let in_flight = pick_of(&upstream, "10.0.0.2");
    dns.remove_pod("shop", "orders", "10.0.0.2");
    until(&upstream, "the removal", |set| set.len() == 2).await;
    for _ in 0..500 {
        let pick = upstream.pick().unwrap();
        assert_ne!(pick.endpoint().addr(), in_flight.endpoint().addr());
        pick.complete(Outcome::Success, Instant::now());
    }
    in_flight.complete(Outcome::Success, Instant::now());
    assert_eq!(addrs(&upstream.endpoints()), ["10.0.0.1:80", "10.0.0.3:80"]);
}

fn report_unreachable(upstream: &Upstream, ip: &str) {
    pick_of(upstream, ip).complete(Outcome::Unreachable, Instant::now());
}

/// A pick of this endpoint, by excluding the others.
fn pick_of(upstream: &Upstream, ip: &str) -> Pick {
    let endpoints = upstream.endpoints();
    let mut others = Tried::new();
    let is_other = |addr: SocketAddr| addr.ip().to_string() != ip;
    endpoints.iter().filter(|e| is_other(e.addr())).for_each(|e| others.add(e.identity()));
    upstream.pick_untried(&others).unwrap()
}

/// Addresses that were looked up for SRV records without glue do not last forever either.
#[tokio::test]
async fn drops_stale_srv_targets_that_were_looked_up() {
    let dns = FakeDns::builder().ttl(0).start().await.unwrap();
    dns.glue(Glue::None);
    dns.apply(Service::headless("shop", "orders").port("http", 80).pod(Pod::new("10.0.0.1").hostname("web-0")));
    let settings = brisk().with_max_stale(Duration::from_millis(200));
    let orders = in_pod(&dns, "shop").refresh(settings).build().unwrap().resolve("orders:http").await.unwrap();
    dns.script(Rule::any().name(&format!("web-0.{ORDERS}")).servfail());
    until(&orders, "an empty set", |set| set.is_empty()).await;
}
