//! No file descriptors left. A program of its own: the limit is the process's.

use std::fs::File;

use discovery_testing::{FakeDns, Pod, Service};
use rlimit::Resource;
use tests::{brisk, in_pod, until};

#[tokio::test]
async fn the_endpoints_stay_and_are_refreshed_when_there_are_descriptors_again() {
    let dns = FakeDns::builder().ttl(0).start().await.unwrap();
    dns.apply(Service::headless("shop", "orders").port("http", 8080).pod(Pod::new("10.0.0.1")));
    let resolver = in_pod(&dns, "shop").refresh(brisk()).build().unwrap();
    let orders = resolver.resolve("orders:80").await.unwrap();

    let (soft, hard) = Resource::NOFILE.get().unwrap();
    Resource::NOFILE.set(soft.min(256), hard).unwrap();
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    while !orders.endpoints().is_stale() {
        tokio::task::yield_now().await;
    }
    assert_eq!(orders.endpoints().len(), 1);
    assert!(orders.pick().is_ok());
    assert!(orders.explain().to_string().contains("os error 24"), "{}", orders.explain());

    taken.clear();
    dns.add_pod("shop", "orders", Pod::new("10.0.0.2"));
    until(&orders, "the new pod", |set| set.len() == 2).await;
    assert!(!orders.endpoints().is_stale());
    Resource::NOFILE.set(soft, hard).unwrap();
}
