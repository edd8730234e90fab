//! F6: a DNS that fails, and a DNS that says no.

use std::time::{Duration, Instant};

use discovery_core::{Upstream, policy::Outcome, refresh::RefreshSettings};
use discovery_testing::{FakeDns, Pod, QType, Rule};
use tests::{brisk, until};

use super::{
    Fails, ORDERS, PODS, asked_again, dns, eventually, evidence, figure, ips, orders, pod, pod_with, resolved, within,
};

/// What a caller sees during an outage: what it saw before.
async fn survives(what: &str, dns: &FakeDns, upstream: &Upstream, outage: impl AsyncFnOnce()) {
    let before = upstream.endpoints().to_arc();
    outage().await;
    eventually(upstream, "stale", |upstream| upstream.endpoints().is_stale()).await;
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

/// The first question that is answered again ends it.
async fn recovers(what: &str, dns: &FakeDns, upstream: &Upstream, mended: impl AsyncFnOnce()) {
    dns.add_pod("shop", "orders", Pod::new("10.0.0.4"));
    dns.forget();
    mended().await;
    let begun = Instant::now();
    until(upstream, "recovery", |set| set.len() == 4).await;
    figure("F6: failure, recovery", (what, begun.elapsed(), dns.total()));
    assert!(!upstream.endpoints().is_stale());
    // The pause grows up to 5 s; after half a second of outage it is far shorter.
    assert!(begun.elapsed() < Duration::from_secs(5), "{what}: {:?}", begun.elapsed());
}

#[tokio::test]
async fn f6_servfail_refused_timeout_and_garbage_change_nothing_but_the_staleness() {
    let failure = |(what, fails): (&'static str, Fails)| async move {
        let dns = dns().await;
        let upstream = resolved(&dns).await;
        survives(what, &dns, &upstream, async || _ = dns.script(fails(Rule::any()))).await;
        recovers(what, &dns, &upstream, async || dns.clear_script()).await;
    };
    let failures: [(&str, Fails); 4] =
        [("SERVFAIL", Rule::servfail), ("REFUSED", Rule::refuse), ("timeout", Rule::drop), ("garbage", Rule::garbage)];
    futures_util::future::join_all(failures.map(failure)).await;
}

#[tokio::test]
async fn f6_a_dead_nameserver_changes_nothing_but_the_staleness() {
    let dns = dns().await;
    let upstream = resolved(&dns).await;
    survives("dead", &dns, &upstream, async || dns.stop().await).await;
    recovers("dead", &dns, &upstream, async || dns.restart().await.unwrap()).await;
}

/// A CoreDNS that has just started and has not read the API yet.
#[tokio::test]
async fn f6_a_dns_that_is_not_synced_changes_nothing_but_the_staleness() {
    let dns = dns().await;
    let upstream = resolved(&dns).await;
    survives("not synced", &dns, &upstream, async || {
        dns.not_synced(true);
        dns.remove("shop", "orders");
    })
    .await;
    dns.apply(orders(&PODS));
    recovers("not synced", &dns, &upstream, async || dns.not_synced(false)).await;
}

/// 100 ms, 200 ms, 400 ms, 800 ms, each 20 % shorter at most.
#[tokio::test]
async fn f6_failures_are_retried_with_growing_pauses() {
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

/// Before the first answer there is nothing to keep: the caller learns that nothing is known.
#[tokio::test]
async fn f6_a_failure_at_the_start_is_transient_and_heals() {
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

/// One "no" is asked about again, a second later; the second one counts. With a floor of 20 ms.
async fn a_no_after_a_yes(what: &str, no: Rule, is_what: impl Fn(&discovery_core::Error) -> bool) {
    let dns = dns().await;
    dns.apply(orders(&PODS));
    let settings = brisk().with_confirm_after(RefreshSettings::default().confirm_after());
    let resolver = pod_with(&dns, &[]).refresh(settings).build().unwrap();
    let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
    let mut watch = upstream.watch();
    assert_eq!(watch.next().await.len(), 3);
    let no = dns.script(no);
    dns.forget();
    within("the first no", dns.asked(|_| true, 1)).await;
    let begun = Instant::now();
    assert_eq!(upstream.endpoints().len(), 3, "{what}: one no is not believed");
    let told = within("the empty set", watch.next()).await;
    let took = begun.elapsed();
    assert!(told.is_empty(), "{what}: watchers are told that there are none");
    assert_eq!(dns.total(), 2, "{what}: one confirming question");
    assert!(took >= Duration::from_millis(950), "{what}: {took:?}");
    figure("F6: confirmed no, after", (what, took));
    let error = upstream.pick().unwrap_err();
    assert!(is_what(&error) && !error.is_transient(), "{what}: {error}");

    within("polling", dns.asked(|_| true, 4)).await;
    dns.remove_rule(no);
    assert_eq!(within("the pods again", watch.next()).await.len(), 3);
    assert!(upstream.pick().is_ok());
}

#[tokio::test]
async fn f6_nxdomain_after_a_yes_is_confirmed_once_and_told_and_polling_continues() {
    a_no_after_a_yes("NXDOMAIN", Rule::any().nxdomain(), discovery_core::Error::is_not_found).await;
}

#[tokio::test]
async fn f6_nodata_after_a_yes_is_confirmed_once_and_told_and_polling_continues() {
    a_no_after_a_yes("NODATA", Rule::any().nodata(), discovery_core::Error::is_no_endpoints).await;
}

#[tokio::test]
async fn f6_a_single_no_between_two_yes_changes_nothing() {
    let dns = dns().await;
    let upstream = resolved(&dns).await;
    let before = upstream.endpoints().version();
    dns.script(Rule::any().times(1).nxdomain());
    asked_again(&dns, 4).await;
    let endpoints = upstream.endpoints();
    assert_eq!((endpoints.version(), endpoints.is_stale()), (before, false));
}

/// With a failure in between, the second "no" still is the one that counts, and the failure is none.
#[tokio::test]
async fn f6_a_failure_is_no_confirmation_of_a_no() {
    let dns = dns().await;
    let upstream = resolved(&dns).await;
    dns.forget();
    dns.script(Rule::any().times(1).nxdomain());
    dns.script(Rule::any().servfail());
    within("failures", dns.asked(|_| true, 4)).await;
    eventually(&upstream, "stale", |upstream| upstream.endpoints().is_stale()).await;
    assert_eq!(ips(&upstream.endpoints()), PODS);
    upstream.pick().unwrap().complete(Outcome::Success, Instant::now());
}
