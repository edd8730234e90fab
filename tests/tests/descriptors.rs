//! No file descriptors left. A program of its own: the limit is the process's, and so is the hook for panics.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs::File,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use discovery_core::{Environment, Resolver};
use discovery_testing::{FakeDns, Pod, Service};
use rlimit::Resource;
use tests::{PATIENCE, addrs, brisk, in_pod, until};

static PANICS: AtomicUsize = AtomicUsize::new(0);

fn resolver(dns: &FakeDns, transport: &str) -> Resolver {
    let vars = [("POD_NAMESPACE", "shop"), ("DISCOVERY_DNS_TRANSPORT", transport)];
    let environment = Environment::empty().with_env(vars).with_resolv_conf(dns.resolv_conf("shop"));
    in_pod(dns, "shop").environment(environment).refresh(brisk()).build().unwrap()
}

async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// All descriptors that the limit leaves.
fn take_all() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

#[tokio::test]
async fn the_endpoints_stay_and_are_refreshed_when_there_are_descriptors_again() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        report(panic);
    }));
    let dns = FakeDns::builder().ttl(0).start().await.unwrap();
    let pods = || Service::headless("shop", "orders").port("http", 8080).pod(Pod::new("10.0.0.1"));
    dns.apply(pods());
    dns.apply(Service::headless("shop", "late").port("http", 8080).pod(Pod::new("10.0.0.3")));
    let (soft, hard) = Resource::NOFILE.get().unwrap();
    Resource::NOFILE.set(soft.min(256), hard).unwrap();

    for transport in ["udp", "tcp"] {
        dns.apply(pods());
        let resolver = resolver(&dns, transport);
        let orders = within("orders", resolver.resolve("orders:80")).await.unwrap();
        assert_eq!(orders.endpoints().version(), 1);

        let mut taken = take_all();
        assert!(taken.len() > 100);
        // A TCP connection that is there needs no further descriptor: it has to be cut.
        dns.stop().await;
        let stale = async {
            while !orders.endpoints().is_stale() || !orders.explain().to_string().contains("os error 24") {
                // Also those of sockets that were closed meanwhile.
                taken.extend(take_all());
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        within("stale, for want of descriptors", stale).await;
        assert_eq!((addrs(&orders.endpoints()), orders.endpoints().version()), (vec!["10.0.0.1:80".to_owned()], 1));
        assert!(orders.pick().is_ok());
        within("at once", orders.first_answer()).await.unwrap();

        // A name that is new is not said to be missing.
        let late = resolver.upstream("late:80").unwrap();
        let error = within("an answer", late.first_answer()).await.unwrap_err();
        assert!(error.is_transient() && !error.is_not_found(), "{error}");
        assert!(error.to_string().contains("os error 24"), "{error}");

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
