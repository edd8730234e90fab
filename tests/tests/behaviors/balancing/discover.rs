//! `discovery_tower::Discover`: the stream of changes.

use std::{collections::BTreeMap, convert::Infallible, net::SocketAddr, pin::Pin, sync::Arc};

use discovery_core::{
    Upstream,
    endpoint::{Endpoint, Identity},
};
use discovery_testing::{FakeDns, ManualSource, Rule};
use discovery_tower::Discover;
use futures_util::{FutureExt, Stream, StreamExt};
use http::Method;
use tests::{addrs, brisk, in_pod, orders, until, until_stale};
use tower::{
    Service, ServiceExt,
    balance::p2c,
    discover::Change,
    load::{CompleteOnResponse, PendingRequests},
};

use crate::support::{
    balance::{BalanceWorld, Call, ToPod, received, request, within},
    dns::{dns, pod},
};

type Changes = Pin<Box<dyn Stream<Item = Result<Change<Identity, SocketAddr>, Infallible>>>>;

fn discover(upstream: &Upstream) -> Changes {
    Box::pin(Discover::new(upstream.clone(), Endpoint::addr))
}

/// The next change. Its type rules out an error.
async fn next(changes: &mut Changes) -> Change<Identity, SocketAddr> {
    let Ok(change) = within("a change", changes.next()).await.expect("the stream never ends");
    change
}

/// Whether the stream is pending: neither a change nor an end.
fn is_waiting(changes: &mut Changes) -> bool {
    changes.next().now_or_never().is_none()
}

fn upstream(dns: &FakeDns) -> Upstream {
    pod(dns).upstream("orders:80").unwrap()
}

#[tokio::test]
async fn waits_for_a_name_that_does_not_exist_yet() {
    let dns = dns().await;
    let upstream = upstream(&dns);
    let mut changes = discover(&upstream);
    assert!(within("an answer", upstream.first_answer()).await.unwrap_err().is_not_found());
    assert!(is_waiting(&mut changes));
    dns.apply(orders(&["10.0.0.1"]));
    assert!(matches!(next(&mut changes).await, Change::Insert(_, addr) if addr == ([10, 0, 0, 1], 80).into()));
}

#[tokio::test]
async fn waits_while_dns_is_down() {
    let dns = dns().await;
    dns.apply(orders(&["10.0.0.1"]));
    dns.script(Rule::any().servfail());
    let upstream = upstream(&dns);
    let mut changes = discover(&upstream);
    assert!(within("an answer", upstream.first_answer()).await.unwrap_err().is_transient());
    assert!(is_waiting(&mut changes));
    dns.clear_script();
    assert!(matches!(next(&mut changes).await, Change::Insert(..)));
}

/// A stream that has yielded the two pods of `orders`.
async fn after_two_inserts() -> (FakeDns, Upstream, Changes) {
    let dns = dns().await;
    dns.apply(orders(&["10.0.0.1", "10.0.0.2"]));
    let upstream = upstream(&dns);
    let mut changes = discover(&upstream);
    next(&mut changes).await;
    next(&mut changes).await;
    (dns, upstream, changes)
}

#[tokio::test]
async fn yields_no_change_while_dns_is_down() {
    let (dns, upstream, mut changes) = after_two_inserts().await;
    dns.script(Rule::any().servfail());
    until_stale(&upstream).await;
    assert!(is_waiting(&mut changes), "the endpoints stay");
}

#[tokio::test]
async fn removes_all_endpoints_of_an_emptied_set_and_continues() {
    let (dns, _upstream, mut changes) = after_two_inserts().await;
    dns.apply(orders(&[]));
    for _ in 0..2 {
        assert!(matches!(next(&mut changes).await, Change::Remove(_)));
    }
    assert!(is_waiting(&mut changes));
    dns.apply(orders(&["10.0.0.3"]));
    assert!(matches!(next(&mut changes).await, Change::Insert(..)));
}

/// Applies a change as tower's balancer does.
fn apply(held: &mut BTreeMap<Identity, SocketAddr>, change: Change<Identity, SocketAddr>) {
    match change {
        Change::Insert(key, addr) => {
            held.insert(key, addr);
        }
        Change::Remove(key) => assert!(held.remove(&key).is_some(), "{key} was never inserted"),
    }
}

#[tokio::test]
async fn inserts_and_removes_add_up_to_each_set() {
    let (source, handle) = ManualSource::new();
    let dns = FakeDns::start().await.unwrap();
    let builder = in_pod(&dns, "shop").source(Arc::new(source)).refresh(brisk());
    let upstream = builder.build().unwrap().upstream("orders:80").unwrap();
    let (mut changes, mut held) = (discover(&upstream), BTreeMap::new());
    for step in 1_u32..60 {
        // Any of 6 addresses, and at least one.
        let bits = step.wrapping_mul(0x9e37_79b9) >> 26 | 1 << (step % 6);
        let texts: Vec<_> = (0..6).filter(|bit| bits & 1 << bit > 0).map(|last| format!("10.0.0.{last}:80")).collect();
        handle.set(texts.iter().map(String::as_str));
        until(&upstream, "the set", |set| addrs(set) == texts).await;
        while let Some(Some(Ok(change))) = changes.next().now_or_never() {
            apply(&mut held, change);
        }
        let addrs: Vec<_> = held.values().map(ToString::to_string).collect();
        assert_eq!(addrs, texts, "step {step}");
    }
}

#[tokio::test]
async fn a_changed_endpoint_replaces_its_key() {
    let (source, handle) = ManualSource::new();
    let dns = FakeDns::start().await.unwrap();
    let builder = in_pod(&dns, "shop").source(Arc::new(source)).refresh(brisk());
    let upstream = builder.build().unwrap().upstream("orders:80").unwrap();
    let mut weights = Box::pin(Discover::new(upstream.clone(), Endpoint::weight));
    let mut seen = Vec::new();
    for weight in [1, 7] {
        handle.set_endpoints([Endpoint::new(([10, 0, 0, 1], 80).into()).with_weight(weight)]);
        let Ok(Change::Insert(key, weight)) = within("a change", weights.next()).await.unwrap() else {
            panic!("a removal");
        };
        seen.push((key.to_string(), weight));
    }
    assert_eq!(seen, [("10.0.0.1:80".to_owned(), 1), ("10.0.0.1:80".to_owned(), 7)]);
}

#[tokio::test]
async fn feeds_towers_own_balancer() {
    let world = BalanceWorld::new(3).await;
    let log = world.log.clone();
    let discover = Discover::new(world.upstream.clone(), move |endpoint: &Endpoint| {
        PendingRequests::new(ToPod::new(endpoint, &log), CompleteOnResponse::default())
    });
    let mut balance = p2c::Balance::<_, Call>::new(Box::pin(discover));
    let pods = world.service.pods();
    for number in 0..200 {
        let response = balance.ready().await.unwrap().call(request(Method::GET, number)).await.unwrap();
        assert_eq!(response.status(), 200);
    }
    assert!(received(&pods).iter().all(|requests| *requests > 0), "{:?}", received(&pods));

    world.service.set_ready(0, false);
    world.until_pods(2).await;
    let before = pods[0].requests();
    for number in 200..250 {
        balance.ready().await.unwrap().call(request(Method::GET, number)).await.unwrap();
    }
    assert_eq!(pods[0].requests(), before);
}
