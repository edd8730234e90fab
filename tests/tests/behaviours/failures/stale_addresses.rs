//! F9: addresses that are not, or may not be, those of a pod any more.

use std::time::{Duration, Instant};

use discovery_core::{
    Upstream,
    policy::{Outcome, Tried},
    refresh::RefreshSettings,
};
use discovery_testing::{FakeDns, Pod, QType, Rule};
use tests::{addrs, brisk, until};

use super::{
    ORDERS, PODS, QUICK, asked_again, dns, eventually, figure, ips, orders, pod_with, question, resolved, within,
};

#[tokio::test]
async fn f9_stale_serving_stops_at_max_stale() {
    let dns = dns().await;
    dns.apply(orders(&PODS));
    let settings = brisk().with_max_stale(Duration::from_millis(600));
    let resolver = pod_with(&dns, &QUICK).refresh(settings).build().unwrap();
    let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
    let mut watch = upstream.watch();
    watch.next().await;
    let last_good = Instant::now();
    dns.script(Rule::any().servfail());
    eventually(&upstream, "stale", |upstream| upstream.endpoints().is_stale()).await;
    assert_eq!(upstream.endpoints().len(), 3);
    let told = within("the end of stale serving", watch.next()).await;
    let took = last_good.elapsed();
    assert!(told.is_empty());
    figure("F9: dropped with max_stale 600 ms", took);
    assert!(took >= Duration::from_millis(600), "{took:?}");
    let error = upstream.pick().unwrap_err();
    assert!(error.is_transient() && !error.is_not_found() && !error.is_no_endpoints(), "{error}");
    dns.clear_script();
    assert_eq!(within("recovery", watch.next()).await.len(), 3);
}

/// A request that cannot connect, while the DNS cannot be asked.
#[tokio::test]
async fn f9_a_stale_endpoint_that_cannot_be_reached_is_ejected() {
    let dns = dns().await;
    let upstream = resolved(&dns).await;
    dns.script(Rule::any().servfail());
    eventually(&upstream, "stale", |upstream| upstream.endpoints().is_stale()).await;
    report_unreachable(&upstream, "10.0.0.2");
    until(&upstream, "the ejection", |set| ips(set) == ["10.0.0.1", "10.0.0.3"]).await;
    assert!(upstream.endpoints().is_stale());
    asked_again(&dns, 2).await;
    assert_eq!(ips(&upstream.endpoints()), ["10.0.0.1", "10.0.0.3"], "further failures do not bring it back");
    // The next answer decides.
    dns.clear_script();
    until(&upstream, "recovery", |set| ips(set) == PODS).await;
}

/// An endpoint of a fresh answer stays: the answer knows better than one request.
#[tokio::test]
async fn f9_a_connect_failure_asks_again_at_most_once_a_second() {
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
    let asked = within("two more questions", dns.asked(question(ORDERS, QType::A), 3));
    tokio::select! {
        () = failing => {}
        () = asked => {}
    }
    let took = begun.elapsed();
    figure("F9: two re-resolves at TTL 3600 after", took);
    assert!(took >= Duration::from_secs(2), "{took:?}");
    until(&upstream, "the new pod", |set| ips(set) == ["10.0.0.1", "10.0.0.3", "10.0.0.4"]).await;
}

/// An endpoint that the last answer lacks is kept until that is confirmed; a failed connection confirms it.
#[tokio::test]
async fn f9_an_endpoint_on_its_way_out_that_cannot_be_reached_is_ejected() {
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

/// An address that is gone from the published set gets no new request.
#[tokio::test]
async fn f9_a_removed_address_is_not_picked_any_more() {
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

/// A pick of this endpoint, by leaving out the others.
fn pick_of(upstream: &Upstream, ip: &str) -> discovery_core::policy::Pick {
    let endpoints = upstream.endpoints();
    let mut others = Tried::new();
    let is_other = |addr: std::net::SocketAddr| addr.ip().to_string() != ip;
    endpoints.iter().filter(|e| is_other(e.addr())).for_each(|e| others.add(e.identity()));
    upstream.pick_untried(&others).unwrap()
}
