//! The tables of names that a client holds are bounded, and a timer empties them.

use std::{sync::Arc, time::Duration};

use discovery_core::Resolver;
use discovery_reqwest::{Client, DiscoveryResolver};
use discovery_testing::{FakeDns, FakePod, ManualSource};
use tests::{brisk, in_pod};

use crate::support::client::{ClientWorld, within};

/// A resolver in which every name leads to `pod`.
fn leading_to(dns: &FakeDns, pod: &FakePod) -> Resolver {
    let (source, all) = ManualSource::new();
    all.set([pod.addr().to_string().as_str()]);
    in_pod(dns, "shop").source(Arc::new(source)).build().unwrap()
}

/// Waits until the resolver holds `count` targets.
async fn until_active(resolver: &Resolver, count: usize) {
    let reached = async {
        while resolver.active() != count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within("the number of targets", reached).await;
}

#[tokio::test]
async fn a_timer_drops_targets_that_no_request_uses() {
    let world = ClientWorld::new(1).await;
    let resolver = world.resolver().build().unwrap();
    let builder = Client::builder(resolver.clone()).no_proxy().unused_timeout(Duration::from_millis(400));
    let client = builder.build().unwrap();
    let held = resolver.upstream("billing.shop:80").unwrap();
    within("an answer", client.get(world.url()).send()).await.unwrap();
    assert_eq!(resolver.active(), 2);
    until_active(&resolver, 1).await;
    world.cluster.dns().forget();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let asked = world.cluster.dns().questions();
    assert!(asked.iter().all(|asked| !asked.name.starts_with("orders")), "{asked:?}");
    // A handle keeps its target.
    assert_eq!(held.target().to_string(), "billing.shop:80");
    assert_eq!(within("an answer", client.get(world.url()).send()).await.unwrap().status(), 200);
    assert_eq!(resolver.active(), 2);
}

#[tokio::test]
async fn targets_in_use_are_kept() {
    let world = ClientWorld::new(1).await;
    let resolver = world.resolver().build().unwrap();
    let builder = Client::builder(resolver.clone()).no_proxy().unused_timeout(Duration::from_secs(2));
    let client = builder.build().unwrap();
    let url = world.url();
    for _ in 0..30 {
        within("an answer", client.get(&url).send()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(resolver.active(), 1);
    }
}

#[tokio::test]
async fn the_number_of_targets_is_bounded() {
    let (dns, pod) = (FakeDns::start().await.unwrap(), FakePod::start("pod").await.unwrap());
    let resolver = leading_to(&dns, &pod);
    let client = Client::builder(resolver.clone()).no_proxy().max_targets(8).build().unwrap();
    for at in 0..40 {
        for name in ["orders".to_owned(), format!("n{at}.shop")] {
            let response = within("an answer", client.get(format!("http://{name}/")).send()).await.unwrap();
            assert_eq!(response.status(), 200);
        }
        assert!(resolver.active() <= 8, "{} after {at}", resolver.active());
    }
    // The least recently used targets went: `orders` has kept its connection.
    assert_eq!(pod.connections(), 41);
}

#[tokio::test]
async fn a_plain_client_on_the_resolver_holds_a_bounded_number_of_names() {
    let (dns, pod) = (FakeDns::start().await.unwrap(), FakePod::start("pod").await.unwrap());
    let resolver = leading_to(&dns, &pod);
    let hook = DiscoveryResolver::new(resolver.clone());
    let client = reqwest::Client::builder().no_proxy().dns_resolver(hook).build().unwrap();
    for at in 0..1100 {
        let response = within("an answer", client.get(format!("http://n{at}.shop/")).send()).await.unwrap();
        assert_eq!(response.status(), 200);
        drop(response.bytes().await);
    }
    assert!((1000..=1024).contains(&resolver.active()), "{}", resolver.active());

    let few = in_pod(&dns, "shop").refresh(brisk()).build().unwrap();
    dns.record("a.example.com", pod.ip());
    let hook = DiscoveryResolver::new(few.clone()).with_unused_timeout(Duration::from_millis(400));
    let client = reqwest::Client::builder().no_proxy().dns_resolver(hook).build().unwrap();
    let url = format!("http://a.example.com:{}/", pod.addr().port());
    assert_eq!(within("an answer", client.get(url).send()).await.unwrap().status(), 200);
    assert_eq!(few.active(), 1);
    until_active(&few, 0).await;
}
