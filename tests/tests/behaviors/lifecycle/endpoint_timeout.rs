//! How long a request waits for the first endpoint, in both clients.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use discovery_tower::Balance;
use futures_util::FutureExt;
use http::Method;
use tests::{PATIENCE, error_texts, in_pod};
use tower::ServiceExt;

use crate::support::{
    balance::{Answer, BalanceWorld, ToPod, request},
    client::{ClientWorld, within},
};

#[tokio::test]
async fn client_fails_only_after_the_endpoint_timeout() {
    let world = ClientWorld::new(0).await;
    let timeout = Duration::from_millis(150);
    let client = world.builder().endpoint_timeout(timeout).build().unwrap();
    let begun = Instant::now();
    let error = within("an answer", client.get(world.url()).send()).await.unwrap_err();
    assert!(begun.elapsed() >= timeout, "{:?}", begun.elapsed());
    assert!(error.as_discovery().is_some_and(|error| error.is_not_found()), "{error:?}: NXDOMAIN, as from CoreDNS");
    assert_eq!(error.endpoints_tried(), 0);
    let text = error_texts(&error);
    assert!(text.contains("A orders.shop.svc.cluster.local.") && text.contains("NXDOMAIN"), "{text}");
}

/// A first answer that is on its way is not the same as no endpoint.
#[tokio::test]
async fn client_without_endpoint_timeout_waits_only_for_the_first_answer() {
    let world = ClientWorld::new(1).await;
    let client = world.builder().endpoint_timeout(Duration::ZERO).build().unwrap();
    assert_eq!(within("an answer", client.get(world.url()).send()).await.unwrap().status(), 200);

    let missing = "http://nobody.shop/";
    assert!(within("an answer", client.get(missing).send()).await.is_err());
    let error = client.get(missing).send().now_or_never().expect("at once").unwrap_err();
    assert!(error.as_discovery().is_some_and(|error| error.is_not_found()), "{error:?}");
}

#[tokio::test]
async fn client_waits_for_an_endpoint_until_the_timeout() {
    let world = ClientWorld::new(0).await;
    let client = world.builder().endpoint_timeout(PATIENCE).build().unwrap();
    let mut call = pin!(client.get(world.url()).send());
    assert!(call.as_mut().now_or_never().is_none());
    world.service.add_pod().await.unwrap();
    assert_eq!(within("an answer", call).await.unwrap().status(), 200);
}

#[tokio::test]
async fn balance_fails_only_after_the_endpoint_timeout() {
    let world = BalanceWorld::new(0).await;
    let timeout = Duration::from_millis(150);
    let begun = Instant::now();
    let error = call_once(world.balance().with_endpoint_timeout(timeout)).await.unwrap_err();
    assert!(begun.elapsed() >= timeout, "{:?}", begun.elapsed());
    assert_eq!(error.endpoints_tried(), 0);
    assert!(error.as_discovery().is_some_and(|error| error.is_not_found()), "{error:?}: NXDOMAIN, as from CoreDNS");
}

async fn call_once(balance: Balance<ToPod>) -> Answer {
    within("an answer", balance.oneshot(request(Method::GET, 0))).await
}

#[tokio::test]
async fn balance_without_endpoint_timeout_fails_at_once() {
    let world = BalanceWorld::new(0).await;
    let balance = world.balance().with_endpoint_timeout(Duration::ZERO);
    let error = balance.oneshot(request(Method::GET, 0)).now_or_never().expect("at once").unwrap_err();
    assert!(error.as_discovery().is_some_and(|error| error.is_not_found()), "{error:?}: NXDOMAIN, as from CoreDNS");
}

/// A first answer that is on its way is not the same as no endpoint.
#[tokio::test]
async fn balance_without_endpoint_timeout_waits_for_the_first_answer() {
    let world = BalanceWorld::new(1).await;
    let resolver = in_pod(world.cluster.dns(), "shop").build().unwrap();
    let upstream = resolver.upstream(world.upstream.target()).unwrap();
    let log = world.log.clone();
    let balance =
        Balance::new(upstream, move |endpoint| ToPod::new(endpoint, &log)).with_endpoint_timeout(Duration::ZERO);
    call_once(balance).await.unwrap();
}

#[tokio::test]
async fn balance_waits_for_an_endpoint_until_the_timeout() {
    let world = BalanceWorld::new(0).await;
    let mut call = pin!(call_once(world.balance().with_endpoint_timeout(PATIENCE)));
    assert!(call.as_mut().now_or_never().is_none());
    world.service.add_pod().await.unwrap();
    assert_eq!(call.await.unwrap().status(), 200);
}
