//! F6: a DNS server that fails, and a DNS server that denies the name.

use std::time::{Duration, Instant};

use discovery_core::{Error, Upstream, policy::Outcome, refresh::RefreshSettings};
use discovery_testing::{FakeDns, Pod, QType, Rule};
use futures_util::future::join_all;
use tests::{ORDERS, brisk, figure, ips, orders, until, until_stale, within};

use crate::support::dns::{Fails, PODS, asked_again, dns, evidence, pod, pod_with, resolved};

/// During an outage a caller sees what it saw before.
async fn keeps_endpoints(what: &str, dns: &FakeDns, upstream: &Upstream, outage: impl AsyncFnOnce()) {
    let before = upstream.endpoints().to_arc();
    outage().await;
    until_stale(upstream).await;
    let begun = Instant::now();
    let failures = dns.total();
    while begun.elapsed() < Duration::from_millis(500) {
        let pick = upstream.pick().unwrap_or_else(|error| panic!("{what}: {error}"));
        pick.complete(Outcome::Success, Instant::now());
        upstream.first_answer().await.unwrap();
        let endpoints = upstream.endpoints();
        assert!(endpoints.is_stale(), "{what}");
        assert_eq!(endpoints.version(), before.version(), "{what}: {}", evidence(upstream));
        drop(endpoints);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(ips(&upstream.endpoints()), PODS, "{what}");
    assert!(evidence(upstream).contains("now stale"), "{what}: {}", evidence(upstream));
    figure("F6: failure, packets in 500 ms of it", (what, dns.total() - failures));
}

/// The first query that is answered ends the outage.
async fn recovers(what: &str, dns: &FakeDns, upstream: &Upstream, repair: impl AsyncFnOnce()) {
    dns.add_pod("shop", "orders", Pod::new("10.0.0.4"));
    dns.forget();
    repair().await;
    let begun = Instant::now();
    until(upstream, "recovery", |set| set.len() == 4).await;
    figure("F6: failure, recovery", (what, begun.elapsed(), dns.total()));
    assert!(!upstream.endpoints().is_stale());
    // The backoff grows up to 5 s; after half a second of outage it is far shorter.
    assert!(begun.elapsed() < Duration::from_secs(5), "{what}: {:?}", begun.elapsed());
}

/// F6.
#[tokio::test]
async fn keeps_endpoints_through_servfail_refused_timeout_and_garbage() {
    let failure = |(what, fails): (&'static str, Fails)| async move {
        let dns = dns().await;
        let upstream = resolved(&dns).await;
        keeps_endpoints(what, &dns, &upstream, async || _ = dns.script(fails(Rule::any()))).await;
        recovers(what, &dns, &upstream, async || dns.clear_script()).await;
    };
    let failures: [(&str, Fails); 4] =
        [("SERVFAIL", Rule::servfail), ("REFUSED", Rule::refuse), ("timeout", Rule::drop), ("garbage", Rule::garbage)];
    join_all(failures.map(failure)).await;
}

/// F6.
#[tokio::test]
async fn keeps_endpoints_while_the_nameserver_is_dead() {
    let dns = dns().await;
    let upstream = resolved(&dns).await;
    keeps_endpoints("dead", &dns, &upstream, async || dns.stop().await).await;
    recovers("dead", &dns, &upstream, async || dns.restart().await.unwrap()).await;
}

/// F6. A CoreDNS that has just started has not read the API yet.
#[tokio::test]
async fn keeps_endpoints_while_the_dns_server_is_not_synced() {
    let dns = dns().await;
    let upstream = resolved(&dns).await;
    keeps_endpoints("not synced", &dns, &upstream, async || {
        dns.not_synced(true);
        dns.remove("shop", "orders");
    })
    .await;
    dns.apply(orders(&PODS));
    recovers("not synced", &dns, &upstream, async || dns.not_synced(false)).await;
}

/// F6. 100 ms, 200 ms, 400 ms, 800 ms, each at most 20 % shorter.
#[tokio::test]
async fn retries_failures_with_growing_backoff() {
    let dns = dns().await;
    let upstream = resolved(&dns).await;
    dns.forget();
    dns.script(Rule::any().servfail());
    within("the first failure", dns.asked(|_| true, 1)).await;
    let begun = Instant::now();
    within("four more", dns.asked(|_| true, 5)).await;
    let took = begun.elapsed();
    figure("F6: four retries", took);
    assert!(took >= Duration::from_millis(1500).mul_f64(0.8), "{took:?}");
    assert_eq!(ips(&upstream.endpoints()), PODS);
}

/// F6. There is nothing to keep yet: the caller learns that the resolver knows nothing.
#[tokio::test]
async fn a_failure_before_the_first_answer_is_a_transient_error() {
    let dns = dns().await;
    dns.apply(orders(&PODS));
    dns.script(Rule::any().times(2).servfail());
    let resolver = pod(&dns);
    let upstream = resolver.upstream("orders:80").unwrap();
    let error = within("an answer", upstream.first_answer()).await.unwrap_err();
    assert!(error.is_transient() && !error.is_not_found(), "{error}");
    within("recovery", upstream.ready()).await.unwrap();
    assert_eq!((ips(&upstream.endpoints()).len(), dns.count(ORDERS, QType::A)), (3, 3));
}

/// The resolver repeats the query of a negative answer a second later, and the second answer counts. The floor is 20
/// ms.
async fn negative_after_endpoints(what: &str, negative: Rule, is_what: impl Fn(&Error) -> bool) {
    let dns = dns().await;
    dns.apply(orders(&PODS));
    let settings = brisk().with_confirm_after(RefreshSettings::default().confirm_after());
    let resolver = pod_with(&dns, &[]).refresh(settings).build().unwrap();
    let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
    let mut watch = upstream.watch();
    assert_eq!(watch.next().await.len(), 3);
    let rule = dns.script(negative);
    dns.forget();
    within("the first negative answer", dns.asked(|_| true, 1)).await;
    let begun = Instant::now();
    assert_eq!(upstream.endpoints().len(), 3, "{what}: one negative answer does not count");
    let set = within("the empty set", watch.next()).await;
    let took = begun.elapsed();
    assert!(set.is_empty(), "{what}: watchers get an empty set");
    assert_eq!(dns.total(), 2, "{what}: one confirming query");
    assert!(took >= Duration::from_millis(950), "{what}: {took:?}");
    figure("F6: confirmed negative answer, after", (what, took));
    let error = upstream.pick().unwrap_err();
    assert!(is_what(&error) && !error.is_transient(), "{what}: {error}");

    within("polling", dns.asked(|_| true, 4)).await;
    dns.remove_rule(rule);
    assert_eq!(within("the pods again", watch.next()).await.len(), 3);
    assert!(upstream.pick().is_ok());
}

/// F6.
#[tokio::test]
async fn confirms_nxdomain_once_then_publishes_an_empty_set_and_keeps_polling() {
    negative_after_endpoints("NXDOMAIN", Rule::any().nxdomain(), Error::is_not_found).await;
}

/// F6.
#[tokio::test]
async fn confirms_nodata_once_then_publishes_an_empty_set_and_keeps_polling() {
    negative_after_endpoints("NODATA", Rule::any().nodata(), Error::is_no_endpoints).await;
}

/// F6.
#[tokio::test]
async fn ignores_a_single_negative_answer() {
    let dns = dns().await;
    let upstream = resolved(&dns).await;
    let before = upstream.endpoints().version();
    dns.script(Rule::any().times(1).nxdomain());
    asked_again(&dns, 4).await;
    let endpoints = upstream.endpoints();
    assert_eq!((endpoints.version(), endpoints.is_stale()), (before, false));
}

/// F6.
#[tokio::test]
async fn a_failure_does_not_confirm_a_negative_answer() {
    let dns = dns().await;
    let upstream = resolved(&dns).await;
    dns.forget();
    dns.script(Rule::any().times(1).nxdomain());
    dns.script(Rule::any().servfail());
    within("failures", dns.asked(|_| true, 4)).await;
    until_stale(&upstream).await;
    assert_eq!(ips(&upstream.endpoints()), PODS);
    upstream.pick().unwrap().complete(Outcome::Success, Instant::now());
}
