//! No file descriptors left. A program of its own, because the limit and the panic hook belong to the process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs::File,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use discovery_core::Resolver;
use discovery_testing::{FakeDns, Pod, Service};
use rlimit::Resource;
use tests::{addrs, brisk, in_pod_with, orders, until, within};

static PANICS: AtomicUsize = AtomicUsize::new(0);

fn resolver(dns: &FakeDns, transport: &str) -> Resolver {
    in_pod_with(dns, "shop", [("DISCOVERY_DNS_TRANSPORT", transport)]).refresh(brisk()).build().unwrap()
}

/// Takes all descriptors that the limit leaves.
fn take_all() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

#[tokio::test]
async fn keeps_endpoints_without_descriptors_and_refreshes_when_there_are_some() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        report(panic);
    }));
    let dns = FakeDns::builder().ttl(0).start().await.unwrap();
    dns.apply(Service::headless("shop", "late").port("http", 8080).pod(Pod::new("10.0.0.3")));
    let (soft, hard) = Resource::NOFILE.get().unwrap();
    Resource::NOFILE.set(soft.min(256), hard).unwrap();

    for transport in ["udp", "tcp"] {
        dns.apply(orders(&["10.0.0.1"]));
        let resolver = resolver(&dns, transport);
        let orders = within("orders", resolver.resolve("orders:80")).await.unwrap();
        assert_eq!(orders.endpoints().version(), 1);

        let mut taken = take_all();
        assert!(taken.len() > 100);
        // An open TCP connection needs no new descriptor, so it has to be cut.
        dns.stop().await;
        let stale = async {
            while !orders.endpoints().is_stale() || !orders.explain().to_string().contains("os error 24") {
                // Including the descriptors of sockets that have closed.
                taken.extend(take_all());
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        within("a set that is stale for want of descriptors", stale).await;
        assert_eq!((addrs(&orders.endpoints()), orders.endpoints().version()), (vec!["10.0.0.1:80".to_owned()], 1));
        assert!(orders.pick().is_ok());
        within("at once", orders.first_answer()).await.unwrap();

        // A new name is not reported as missing.
        let late = resolver.upstream("late:80").unwrap();
        let error = within("an answer", late.first_answer()).await.unwrap_err();
        assert!(error.is_transient() && !error.is_not_found(), "{error}");
        assert!(error.to_string().contains("os error 24") && error.to_string().contains("ulimit -n"), "{error}");

        taken.clear();
        dns.restart().await.unwrap();
        dns.add_pod("shop", "orders", Pod::new("10.0.0.2"));
        until(&orders, "the new pod", |set| set.len() == 2).await;
        assert!(!orders.endpoints().is_stale());
        within("late", late.ready()).await.unwrap();
        println!("{transport}: {error}");
    }
    Resource::NOFILE.set(soft, hard).unwrap();
    assert_eq!(PANICS.load(Ordering::Relaxed), 0);
}
