//! Between two sources that know the same name: the one in use keeps it, as long as it can be believed.

use std::{sync::Arc, time::Duration};

use discovery_core::{Upstream, refresh::RefreshSettings};
use discovery_testing::{FakeDns, ManualHandle, ManualSource, Pod, QType, Service};
use tests::{PATIENCE, addrs, brisk, in_pod, until};
use tokio::time::timeout;

const ORDERS: &str = "orders.shop.svc.cluster.local";
const BY_DNS: &str = "10.96.0.1:80";
const BY_REGISTRY: &str = "10.0.0.1:80";

/// A registry that knows the pods, and a DNS that knows the virtual IP.
async fn registry_and_dns(settings: RefreshSettings) -> (FakeDns, ManualHandle, Upstream) {
    let dns = FakeDns::start().await.unwrap();
    dns.apply(Service::cluster_ip("shop", "orders").ip("10.96.0.1").port("http", 80).pod(Pod::new("10.0.0.1")));
    let (source, registry) = ManualSource::new();
    registry.set([BY_REGISTRY]);
    let resolver = in_pod(&dns, "shop").source(Arc::new(source)).refresh(settings).build().unwrap();
    let orders = timeout(PATIENCE, resolver.resolve("orders:80")).await.expect("an answer").unwrap();
    assert_eq!((addrs(&orders.endpoints()), dns.total()), (vec![BY_REGISTRY.to_owned()], 0));
    (dns, registry, orders)
}

async fn shows(orders: &Upstream, what: &str) {
    until(orders, what, |set| addrs(set) == [what]).await;
}

#[tokio::test]
async fn a_registry_that_cannot_be_asked_for_a_moment_keeps_its_names() {
    let (dns, registry, orders) = registry_and_dns(brisk()).await;
    for _ in 0..3 {
        registry.fail("the registry restarts");
        let mut watch = orders.watch();
        let stale = async {
            while !orders.explain().standing.starts_with("stale") {
                tokio::task::yield_now().await
            }
        };
        timeout(PATIENCE, stale).await.expect("a failed round");
        assert_eq!(addrs(&*watch.next().await), [BY_REGISTRY]);
        registry.set([BY_REGISTRY]);
        let fresh = async {
            while orders.explain().standing != "fresh" {
                tokio::task::yield_now().await
            }
        };
        timeout(PATIENCE, fresh).await.expect("a good round");
    }
    assert_eq!(dns.total(), 0, "nobody else was asked");
    assert_eq!(orders.endpoints().version(), 1);
}

#[tokio::test]
async fn a_registry_that_is_away_for_too_long_gives_its_names_up() {
    let (_dns, registry, orders) = registry_and_dns(brisk().with_max_stale(Duration::from_millis(300))).await;
    registry.fail("the registry is gone");
    shows(&orders, BY_DNS).await;
    assert_eq!(orders.explain().winner, Some("dns"));
    registry.set([BY_REGISTRY]);
    shows(&orders, BY_REGISTRY).await;
}

/// A registry that was restarted has forgotten everybody; they register again with their next heartbeat.
#[tokio::test]
async fn a_no_must_be_confirmed_before_another_source_takes_over() {
    let pause = Duration::from_millis(400);
    let (dns, registry, orders) = registry_and_dns(brisk().with_confirm_after(pause)).await;
    let denied = std::time::Instant::now();
    registry.not_found();
    let said_no = async {
        while !orders.explain().to_string().contains("no such name") {
            tokio::task::yield_now().await
        }
    };
    timeout(PATIENCE, said_no).await.expect("a round");
    // Saying it again at once confirms nothing.
    registry.not_found();
    let asked = dns.asked(|asked| asked.name.starts_with(ORDERS) && asked.qtype == QType::A, 1);
    timeout(PATIENCE, asked).await.expect("the next source is asked");
    assert!(denied.elapsed() >= pause, "{:?}", denied.elapsed());
    shows(&orders, BY_DNS).await;
    registry.set([BY_REGISTRY]);
    shows(&orders, BY_REGISTRY).await;
}
