//! What an application's own source may do.

use std::{sync::Arc, time::Duration};

use discovery_core::{
    Environment, Resolver,
    endpoint::Endpoint,
    plan::Plan,
    source::{BoxFuture, Lookup, Source, State, Update},
};
use discovery_testing::ManualSource;
use tests::{addrs, refusal, within};

/// Reports a change until it is queried, and again at once.
#[derive(Debug)]
struct AlwaysChanged;

impl Source for AlwaysChanged {
    fn name(&self) -> &'static str {
        "always changed"
    }

    fn open(&self, _: &Plan) -> Box<dyn Lookup> {
        Box::new(Self)
    }
}

impl Lookup for AlwaysChanged {
    fn ask<'a>(&'a mut self, _: &'a mut (dyn FnMut(Update) + Send)) -> BoxFuture<'a, Update> {
        let endpoint = Endpoint::new(([10, 0, 0, 1], 80).into());
        Box::pin(std::future::ready(Update::new(State::Ready(vec![endpoint]))))
    }

    fn changed(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test]
async fn a_source_that_always_reports_a_change_does_not_starve_the_runtime() {
    let builder = Resolver::builder().environment(Environment::empty()).source(Arc::new(AlwaysChanged));
    let orders = builder.build().unwrap().resolve("orders:80").await.unwrap();
    // On a runtime with one thread, a loop that never yields would keep this timer from firing.
    within("a timer", tokio::time::sleep(Duration::from_millis(10))).await;
    drop(orders);
}

#[tokio::test]
async fn an_answer_without_endpoints_is_an_empty_set() {
    let (source, handle) = ManualSource::new();
    handle.set_endpoints([]);
    let builder = Resolver::builder().environment(Environment::empty()).source(Arc::new(source));
    let error = within("an answer", builder.build().unwrap().resolve("orders:80")).await.unwrap_err();
    assert!(error.is_no_endpoints(), "{error}");
}

/// Two Services in one test, each with a source of its own.
#[tokio::test]
async fn a_source_for_one_name_leaves_the_other_names_to_later_sources() {
    let (orders, set_orders) = ManualSource::for_name("orders.shop");
    let (rates, set_rates) = ManualSource::for_name("rates:9090");
    set_orders.set(["10.0.0.1:80", "10.0.0.2:80"]);
    set_rates.set(["10.0.0.3:9090"]);
    let environment = Environment::empty().with_env([
        ("POD_NAMESPACE", "shop"),
        ("DISCOVERY_CLUSTER_DOMAIN", "cluster.local"),
        ("DISCOVERY_NAMESERVERS", "127.0.0.1"),
    ]);
    let builder = Resolver::builder().environment(environment).source(Arc::new(orders)).source(Arc::new(rates));
    let resolver = builder.build().unwrap();
    for target in ["orders", "orders.shop:80", "http://orders.shop.svc", "orders.shop.svc.cluster.local."] {
        let found = within("an answer", resolver.resolve(target)).await.unwrap();
        assert_eq!(addrs(&found.endpoints()), ["10.0.0.1:80", "10.0.0.2:80"], "{target}");
    }
    let found = within("an answer", resolver.resolve("rates:9090")).await.unwrap();
    assert_eq!(addrs(&found.endpoints()), ["10.0.0.3:9090"]);
    let explained = found.explain().to_string();
    assert!(explained.contains("the test sets `orders.shop` only"), "{explained}");

    set_orders.fail("down");
    let error = refusal(&resolver, "orders.shop:8080").await;
    assert!(error.is_transient() && error.to_string().contains("down"), "{error}");
}

#[test]
#[should_panic(expected = "or ders")]
fn panic_names_an_invalid_name() {
    let _ = ManualSource::for_name("or ders");
}
