//! Two sources know the same name: the one in use keeps it for as long as its answer may be used.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use discovery_core::{Upstream, refresh::RefreshSettings};
use discovery_testing::{FakeDns, ManualHandle, ManualSource, Pod, QType, Service};
use tests::{ORDERS, addrs, brisk, in_pod, until, within};

const BY_DNS: &str = "10.96.0.1:80";
const BY_REGISTRY: &str = "10.0.0.1:80";

/// A registry that knows the pod, and a DNS server that knows the virtual IP.
async fn registry_and_dns(settings: RefreshSettings) -> (FakeDns, ManualHandle, Upstream) {
    let dns = FakeDns::start().await.unwrap();
    dns.apply(Service::cluster_ip("shop", "orders").ip("10.96.0.1").port("http", 80).pod(Pod::new("10.0.0.1")));
    let (source, registry) = ManualSource::new();
    registry.set([BY_REGISTRY]);
    let resolver = in_pod(&dns, "shop").source(Arc::new(source)).refresh(settings).build().unwrap();
    let orders = within("an answer", resolver.resolve("orders:80")).await.unwrap();
    assert_eq!((addrs(&orders.endpoints()), dns.total()), (vec![BY_REGISTRY.to_owned()], 0));
    (dns, registry, orders)
}

async fn shows(orders: &Upstream, what: &str) {
    until(orders, what, |set| addrs(set) == [what]).await;
}

#[tokio::test]
async fn a_source_keeps_its_names_through_a_short_outage() {
    let (dns, registry, orders) = registry_and_dns(brisk()).await;
    for _ in 0..3 {
        registry.fail("the registry restarts");
        let mut watch = orders.watch();
        let stale = async {
            while !orders.explain().freshness.starts_with("stale") {
                tokio::task::yield_now().await
            }
        };
        within("a failed round", stale).await;
        assert_eq!(addrs(&*watch.next().await), [BY_REGISTRY]);
        registry.set([BY_REGISTRY]);
        let fresh = async {
            while orders.explain().freshness != "fresh" {
                tokio::task::yield_now().await
            }
        };
        within("a good round", fresh).await;
    }
    assert_eq!(dns.total(), 0, "the next source was not queried");
    assert_eq!(orders.endpoints().version(), 1);
}

#[tokio::test]
async fn the_next_source_takes_over_after_max_stale() {
    let (_dns, registry, orders) = registry_and_dns(brisk().with_max_stale(Duration::from_millis(300))).await;
    registry.fail("the registry is gone");
    shows(&orders, BY_DNS).await;
    assert_eq!(orders.explain().winner, Some("dns"));
    registry.set([BY_REGISTRY]);
    shows(&orders, BY_REGISTRY).await;
}

/// A restarted registry has forgotten its instances; they register again with their next heartbeat.
#[tokio::test]
async fn a_negative_answer_is_confirmed_before_the_next_source_takes_over() {
    let pause = Duration::from_millis(400);
    let (dns, registry, orders) = registry_and_dns(brisk().with_confirm_after(pause)).await;
    let denied = Instant::now();
    registry.not_found();
    let negative = async {
        while !orders.explain().to_string().contains("no such name") {
            tokio::task::yield_now().await
        }
    };
    within("a round", negative).await;
    // The same answer at once does not confirm it.
    registry.not_found();
    let asked = dns.asked(|asked| asked.name.starts_with(ORDERS) && asked.qtype == QType::A, 1);
    within("a query to the next source", asked).await;
    assert!(denied.elapsed() >= pause, "{:?}", denied.elapsed());
    shows(&orders, BY_DNS).await;
    registry.set([BY_REGISTRY]);
    shows(&orders, BY_REGISTRY).await;
}
