//! From the first handle of a target to the last: what handles share, and what stops with the last one.

use std::{any::Any, sync::Arc, time::Duration};

use discovery_core::{Resolver, Upstream, name::Target};
use discovery_testing::{FakeDns, Pod, QType, ReceivedQuery, Rule, Service, Transport};
use futures_util::{FutureExt as _, future::join_all};
use tests::{ORDERS, addrs, figure, in_pod, in_pod_with, orders, until, within};

use crate::support::dns::{OVER_TCP, dns, dns_with_orders, dual_stack_pod, pod, pod_with};

/// A DNS server with `orders` and `other`.
async fn dns_with_other() -> FakeDns {
    let dns = dns_with_orders().await;
    dns.apply(Service::headless("shop", "other").port("http", 8080).pod(Pod::new("10.0.0.2")));
    dns
}

/// Matches the queries for names that begin like this.
fn starts_with(name: &'static str) -> impl Fn(&ReceivedQuery) -> bool {
    move |asked| asked.name.starts_with(name)
}

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// Waits until only this many tasks are left: aborted tasks end when the runtime polls them.
async fn until_tasks(expected: usize) {
    let gone = async {
        while tasks() > expected {
            tokio::task::yield_now().await;
        }
    };
    within("an end of the tasks", gone).await;
    assert_eq!(tasks(), expected);
}

/// Asserts that no query for `orders` arrives during eight queries for `other`.
async fn no_query_for_orders(dns: &FakeDns, witness: &Resolver) {
    let other = within("other", witness.resolve("other:80")).await.unwrap();
    // A query that was still on its way has arrived by then.
    let so_far = dns.count("other.shop.svc.cluster.local", QType::A);
    within("the witness", dns.asked(starts_with("other"), so_far + 2)).await;
    let before = dns.count(ORDERS, QType::A);
    within("the witness", dns.asked(starts_with("other"), so_far + 10)).await;
    assert_eq!(dns.count(ORDERS, QType::A), before);
    drop(other);
}

#[tokio::test]
async fn equal_targets_share_one_task_and_one_query() {
    let dns = dns_with_other().await;
    let resolver = in_pod_with(&dns, "shop", OVER_TCP).build().unwrap();
    let before = tasks();
    let target: Target = "orders:80".parse().unwrap();
    let held = [
        resolver.upstream("orders:80").unwrap(),
        resolver.upstream("ORDERS:80").unwrap(),
        resolver.upstream(&target).unwrap(),
        resolver.upstream(target).unwrap(),
        resolver.clone().upstream("orders:80").unwrap(),
    ];
    assert_eq!((resolver.active(), tasks() - before), (1, 1));
    for upstream in &held {
        within("an answer", upstream.first_answer()).await.unwrap();
    }
    assert_eq!(dns.total(), 1);
    assert!(held.iter().all(|upstream| Arc::ptr_eq(&upstream.endpoints().to_arc(), &held[0].endpoints().to_arc())));

    // Another port, another scheme and a port by name are other targets.
    let others = ["orders:81", "http://orders:80", "orders:http"].map(|text| resolver.upstream(text).unwrap());
    assert_eq!(resolver.active(), 4);
    let srv = resolver.upstream("_http._tcp.orders").unwrap();
    assert_eq!(resolver.active(), 4, "the same as orders:http");
    drop((others, srv));
    assert_eq!(resolver.active(), 1);
}

#[tokio::test]
async fn dropping_the_last_handle_stops_the_queries() {
    let dns = dns_with_other().await;
    let (resolver, witness) = (pod(&dns), pod(&dns));
    let one = within("orders", resolver.resolve("orders:80")).await.unwrap();
    let (clone, watch) = (one.clone(), one.watch());
    let endpoints = one.endpoints();
    for kept in [Box::new(one) as Box<dyn Any>, Box::new(clone)] {
        drop(kept);
        let so_far = dns.count(ORDERS, QType::A);
        within("refreshes", dns.asked(starts_with("orders"), so_far + 3)).await;
        assert_eq!(resolver.active(), 1);
    }
    drop(watch);
    assert_eq!(resolver.active(), 0);
    no_query_for_orders(&dns, &witness).await;
    assert_eq!(addrs(&endpoints), ["10.0.0.1:80"], "a view does not change");
}

/// The resolver does not own its upstreams.
#[tokio::test]
async fn an_upstream_outlives_its_resolver() {
    let dns = dns_with_other().await;
    let orders = within("orders", pod(&dns).resolve("orders:80")).await.unwrap();
    dns.add_pod("shop", "orders", Pod::new("10.0.0.9"));
    until(&orders, "the new pod", |set| set.len() == 2).await;
}

#[tokio::test]
async fn nothing_runs_for_a_name_without_a_handle() {
    let dns = dns_with_other().await;
    let (resolver, witness) = (pod(&dns), pod(&dns));
    let before = tasks();
    for invalid in ["orders_v2.shop.svc", "", "orders:0", "http://", "a..b"] {
        assert!(resolver.resolve(invalid).await.unwrap_err().is_invalid_name(), "{invalid}");
        assert_eq!((resolver.active(), tasks()), (0, before));
    }
    assert!(within("a negative answer", resolver.resolve("nobody:80")).await.unwrap_err().is_not_found());
    assert_eq!(resolver.active(), 0, "an error keeps no handle");

    dns.script(Rule::any().name(ORDERS).drop());
    let mut canceled = Box::pin(resolver.resolve("orders:80"));
    assert!(canceled.as_mut().now_or_never().is_none());
    within("a query", async {
        tokio::select! {
            _ = &mut canceled => panic!("there was no answer"),
            () = dns.asked(starts_with("orders"), 1) => {}
        }
    })
    .await;
    assert_eq!(resolver.active(), 1);
    drop(canceled);
    assert_eq!(resolver.active(), 0);
    until_tasks(before).await;
    no_query_for_orders(&dns, &witness).await;
}

#[tokio::test]
async fn ten_callers_survive_a_canceled_first_caller() {
    let dns = dns_with_other().await;
    dns.script(Rule::any().name(ORDERS).delay(Duration::from_millis(200)));
    let resolver = in_pod_with(&dns, "shop", OVER_TCP).build().unwrap();
    let first = tokio::spawn({
        let resolver = resolver.clone();
        async move { resolver.resolve("orders:80").await.map(drop) }
    });
    within("its query", dns.asked(starts_with("orders"), 1)).await;
    let mut others: Vec<_> = (0..10).map(|_| Box::pin(resolver.resolve("orders:80"))).collect();
    assert!(others.iter_mut().all(|other| other.now_or_never().is_none()));
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    for answer in within("answers", join_all(others)).await {
        assert_eq!(addrs(&answer.unwrap().endpoints()), ["10.0.0.1:80"]);
    }
    assert_eq!(dns.total(), 1, "ten callers and the canceled one: {:?}", dns.questions());
}

#[tokio::test]
async fn a_thousand_dropped_targets_leave_nothing_behind() {
    let dns = dns_with_other().await;
    // Nothing is refreshed while other targets still wait for their first answer.
    dns.script(Rule::any().name(ORDERS).ttl(3600));
    let resolver = in_pod(&dns, "shop").build().unwrap();
    let witness = pod(&dns);
    let before = tasks();
    let targets: Vec<String> = (0..1000).map(|n| format!("orders:{}", 1000 + n)).collect();
    let held: Vec<Upstream> = targets.iter().map(|target| resolver.upstream(target.as_str()).unwrap()).collect();
    assert_eq!(resolver.active(), 1000);
    // A thousand packets at once may be too many for the server's socket: unanswered queries are retransmitted.
    for ready in within("a thousand answers", join_all(held.iter().map(Upstream::ready))).await {
        ready.unwrap();
    }
    assert_eq!((resolver.active(), tasks() - before), (1000, 1000));
    println!("1000 targets: {} tasks, {} queries", tasks() - before, dns.total());
    drop(held);
    assert_eq!(resolver.active(), 0);
    until_tasks(before).await;
    no_query_for_orders(&dns, &witness).await;
}

/// F14.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_concurrent_first_lookups_are_one_query_per_type() {
    let dns = FakeDns::builder().ttl(30).start().await.unwrap();
    dns.apply(orders(&["10.0.0.1", "fd00::1"]));
    let resolver = dual_stack_pod(&dns);
    let callers = (0..1000).map(|_| {
        let resolver = resolver.clone();
        tokio::spawn(async move { resolver.resolve("orders:80").await })
    });
    let upstreams: Vec<_> = within("a thousand answers", join_all(callers)).await;
    assert!(upstreams.iter().all(|upstream| upstream.as_ref().is_ok_and(Result::is_ok)));
    let (a, aaaa) = (dns.count(ORDERS, QType::A), dns.count(ORDERS, QType::AAAA));
    figure("F14: callers, A, AAAA", (upstreams.len(), a, aaaa));
    assert_eq!((a, aaaa, dns.total()), (1, 1, 2));
    assert_eq!(resolver.active(), 1);
}

/// F14. Over TCP, where the resolver retransmits nothing.
#[tokio::test]
async fn callers_share_the_query_of_a_canceled_first_caller() {
    let dns = dns().await;
    dns.set_ttl(30);
    dns.apply(orders(&["10.0.0.1"]));
    dns.script(Rule::any().delay(Duration::from_millis(300)));
    let resolver = pod_with(&dns, &OVER_TCP).build().unwrap();
    let first = tokio::spawn({
        let resolver = resolver.clone();
        async move { resolver.resolve("orders:80").await.map(drop) }
    });
    within("its query", dns.asked(|_| true, 1)).await;
    let mut others: Vec<_> = (0..3).map(|_| Box::pin(resolver.resolve("orders:80"))).collect();
    assert!(others.iter_mut().all(|other| other.now_or_never().is_none()), "they wait for the same answer");
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    for other in others {
        assert_eq!(within("an answer", other).await.unwrap().endpoints().len(), 1);
    }
    assert_eq!(dns.total(), 1, "{:?}", dns.questions());
    assert!(dns.questions().iter().all(|asked| asked.transport == Transport::Tcp));
}
