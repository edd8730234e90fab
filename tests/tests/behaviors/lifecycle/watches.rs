//! What a watch yields, and what `first_answer` and `ready` wait for.

use discovery_testing::Pod;
use futures_util::{FutureExt as _, StreamExt};
use tests::{addrs, orders, within};

use crate::support::dns::{dns_with_orders, manual, pod};

/// Each set is the full state, not a change; and a removed Service does not end the watch.
#[tokio::test]
async fn a_watch_yields_full_sets_and_never_ends() {
    let dns = dns_with_orders().await;
    let upstream = pod(&dns).upstream("orders:80").unwrap();
    let mut watch = upstream.watch();
    let mut versions = Vec::new();
    let mut next = async |what: &str, expected: &[&str]| {
        // A set between two of these may come first, because a removal is held for a while.
        loop {
            let set = within(what, watch.next()).await;
            versions.push(set.version());
            if addrs(&set) == expected {
                return;
            }
        }
    };
    next("the first", &["10.0.0.1:80"]).await;
    dns.add_pod("shop", "orders", Pod::new("10.0.0.3"));
    next("one more", &["10.0.0.1:80", "10.0.0.3:80"]).await;
    dns.remove_pod("shop", "orders", "10.0.0.1");
    next("one less", &["10.0.0.3:80"]).await;
    dns.remove("shop", "orders");
    next("no Service", &[]).await;
    dns.apply(orders(&["10.0.0.4", "10.0.0.5"]));
    next("the Service again", &["10.0.0.4:80", "10.0.0.5:80"]).await;
    assert!(versions.is_sorted_by(|one, next| one < next), "{versions:?}");

    let so_far = dns.total();
    within("refreshes", dns.asked(|_| true, so_far + 5)).await;
    assert!(watch.next().now_or_never().is_none(), "an unchanged answer publishes nothing");
}

/// A late watch starts with the current set as well.
#[tokio::test]
async fn a_watch_is_a_stream_that_starts_with_the_current_set() {
    let (resolver, handle) = manual();
    let orders = resolver.upstream("orders").unwrap();
    let mut early = orders.watch();
    assert!(early.next().now_or_never().is_none(), "nothing before the first answer");
    handle.set(["10.0.0.1:80"]);
    assert_eq!(within("a set", StreamExt::next(&mut early)).await.map(|set| set.len()), Some(1));
    handle.empty();
    assert_eq!(within("a set", StreamExt::next(&mut early)).await.map(|set| set.len()), Some(0));
    handle.set(["10.0.0.1:80", "10.0.0.2:80"]);
    assert_eq!(within("a set", StreamExt::next(&mut early)).await.map(|set| set.len()), Some(2));
    let mut late = orders.watch();
    assert_eq!(late.next().now_or_never().expect("at once").len(), 2);
    drop(resolver);
    handle.not_found();
    assert_eq!(within("a set", StreamExt::next(&mut late)).await.map(|set| set.len()), Some(0), "the watch continues");
}

#[tokio::test]
async fn first_answer_returns_any_answer_and_ready_waits_for_endpoints() {
    let (resolver, handle) = manual();
    let orders = resolver.upstream("orders").unwrap();
    let mut ready = Box::pin(orders.ready());
    handle.not_found();
    assert!(within("a negative answer", orders.first_answer()).await.unwrap_err().is_not_found());
    assert!(ready.as_mut().now_or_never().is_none());
    handle.empty();
    let empty = async {
        while !orders.first_answer().await.is_err_and(|error| error.is_no_endpoints()) {
            tokio::task::yield_now().await
        }
    };
    within("an empty set", empty).await;
    assert!(ready.as_mut().now_or_never().is_none());
    handle.fail("down");
    let failed = async {
        while !orders.first_answer().await.is_err_and(|error| error.is_transient()) {
            tokio::task::yield_now().await
        }
    };
    within("a failure", failed).await;
    assert!(ready.as_mut().now_or_never().is_none());
    handle.set(["10.0.0.1:80"]);
    within("endpoints", ready).await.unwrap();
    orders.first_answer().now_or_never().expect("at once").unwrap();

    // The endpoints stay, and no caller waits any more.
    handle.fail("down again");
    let stale = async {
        while !orders.endpoints().is_stale() {
            tokio::task::yield_now().await
        }
    };
    within("stale", stale).await;
    orders.first_answer().now_or_never().expect("at once").unwrap();
    orders.ready().now_or_never().expect("at once").unwrap();
}
