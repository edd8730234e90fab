//! Runtimes that come and go under a resolver.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use discovery_core::{Resolver, plan::Families};
use discovery_testing::{FakeDns, Pod, Service};
use tests::{brisk, in_pod, until};
use tokio::runtime::Runtime;

fn resolver(dns: &FakeDns) -> Resolver {
    in_pod(dns, "shop").families(Families::V4).refresh(brisk()).build().unwrap()
}

/// A DNS server on a runtime of its own, which outlives those of the tests.
fn dns() -> (Runtime, FakeDns) {
    let runtime = Runtime::new().unwrap();
    let dns = runtime.block_on(FakeDns::builder().ttl(0).start()).unwrap();
    dns.apply(Service::headless("shop", "orders").port("http", 8080).pod(Pod::new("10.0.0.1")));
    (runtime, dns)
}

#[test]
fn on_another_runtime_a_handle_goes_on_where_the_first_one_was_shut_down() {
    let (_server, dns) = dns();
    let resolver = resolver(&dns);
    let first = Runtime::new().unwrap();
    let orders = first.block_on(resolver.resolve("orders:80")).unwrap();
    drop(first);
    assert_eq!(orders.endpoints().len(), 1, "reads go on without any runtime");
    dns.add_pod("shop", "orders", Pod::new("10.0.0.2"));
    let second = Runtime::new().unwrap();
    second.block_on(until(&orders, "the new pod", |set| set.len() == 2));
    assert_eq!(orders.endpoints().version(), 2, "counted on, not begun anew");
}

#[test]
fn one_resolver_serves_two_runtimes_at_a_time() {
    let (_server, dns) = dns();
    let resolver = resolver(&dns);
    let (one, other) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    let on_one = one.block_on(resolver.resolve("orders:80")).unwrap();
    let on_other = other.block_on(resolver.resolve("orders:80")).unwrap();
    dns.add_pod("shop", "orders", Pod::new("10.0.0.2"));
    other.block_on(until(&on_other, "the new pod", |set| set.len() == 2));
    assert_eq!(on_one.endpoints().len(), 2);
}

#[test]
fn a_runtime_that_is_dropped_during_a_lookup_takes_nothing_with_it() {
    let (_server, dns) = dns();
    dns.script(discovery_testing::Rule::any().times(1).drop());
    let resolver = resolver(&dns);
    let first = Runtime::new().unwrap();
    let orders = first.block_on(async { resolver.upstream("orders:80") }).unwrap();
    first.shutdown_background();
    let second = Runtime::new().unwrap();
    second.block_on(async { tokio::time::timeout(tests::PATIENCE, orders.available()).await }).unwrap().unwrap();
}

#[test]
fn without_a_runtime_there_is_an_error_and_no_panic() {
    let (_server, dns) = dns();
    let error = resolver(&dns).upstream("orders:80").unwrap_err();
    assert!(error.is_config() && error.to_string().contains("tokio runtime"), "{error}");
}
